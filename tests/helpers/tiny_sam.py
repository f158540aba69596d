"""Promptable models of a few hundred kilobytes with random weights, saved as users' own are."""

import contextlib
import os
from pathlib import Path

import pytest
import torch

SIZE = 64


def save_tiny_sam(folder: Path, seed: int = 0) -> Path:
    """Save a SAM of one layer, of photographs brought to 64 pixels, with its processor."""
    sam = pytest.importorskip("transformers", reason="needs transformers: pip install -e .[sam]")
    torch.manual_seed(seed)
    sizes = {"image_size": SIZE, "patch_size": 8}
    # The default of initializer_range is as good as zero: masks would not depend on the image.
    vision = sam.SamVisionConfig(
        hidden_size=16,
        output_channels=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        window_size=4,
        global_attn_indexes=[0],
        num_pos_feats=8,
        mlp_dim=16,
        initializer_range=0.2,
        **sizes,
    )
    prompts = sam.SamPromptEncoderConfig(hidden_size=16, mask_input_channels=4, **sizes)
    decoder = sam.SamMaskDecoderConfig(**_decoder())
    config = sam.SamConfig(
        vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder
    )
    square = {"height": SIZE, "width": SIZE}
    images = sam.SamImageProcessor(size={"longest_edge": SIZE}, pad_size=square)
    return _saved(folder, sam.SamModel(config), sam.SamProcessor(images))


def save_tiny_sam2(folder: Path, seed: int = 0) -> Path:
    """Save a SAM 2 of five blocks, likewise."""
    sam = pytest.importorskip("transformers", reason="needs transformers: pip install -e .[sam]")
    torch.manual_seed(seed)
    channels = [8, 16, 32, 64]
    backbone = sam.Sam2HieraDetConfig(
        hidden_size=8,
        image_size=[SIZE, SIZE],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=channels,
        num_attention_heads_per_stage=[1, 1, 2, 2],
        window_size_per_stage=[8, 4, 4, 4],
        global_attention_blocks=[3],
        initializer_range=0.2,
    )
    vision = sam.Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=channels[::-1],
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
        fpn_hidden_size=16,
    )
    prompts = sam.Sam2PromptEncoderConfig(hidden_size=16, image_size=SIZE, mask_input_channels=4)
    decoder = sam.Sam2MaskDecoderConfig(**_decoder())
    config = sam.Sam2Config(
        vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder
    )
    images = sam.Sam2ImageProcessor(size={"height": SIZE, "width": SIZE})
    return _saved(folder, sam.Sam2Model(config), sam.Sam2Processor(images))


def _decoder() -> dict[str, int]:
    sizes = {"hidden_size": 16, "mlp_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    return sizes | {"iou_head_depth": 2, "iou_head_hidden_dim": 16}


def _saved(folder: Path, model, processor) -> Path:
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "mask_decoder" in name:  # else all masks are alike, and so are their scores
                weight += 0.3 * torch.randn(weight.shape)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
    return folder
