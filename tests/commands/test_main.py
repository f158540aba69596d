"""The command line: quick help, errors of one line, and what it hands to the package."""

import json
import subprocess
import sys
from dataclasses import fields

import pytest

from bana.commands import bench, gallery, records, train
from bana.commands import main as commands
from bana.commands.course import EDITIONS
from bana.commands.main import main
from bana.course import editions, environment, slides, widget
from bana.course.gallery import making
from bana.course.gallery.items import FIGURES
from bana.course.gallery.making import Made
from bana.experiment import benching, prompting, recording, regime, stages
from bana.experiment.bench import TASKS
from bana.experiment.exhibits.table_items import TABLES
from bana.experiment.labelling import VARIANTS, Crew
from bana.experiment.left_out import running
from bana.experiment.left_out.catalogue import EXPERIMENTS
from bana.experiment.left_out.measuring import MEASURES
from bana.experiment.profiles import get_profile
from bana.experiment.recipes import RECIPES
from bana.networks.classifier import POOLINGS
from bana.networks.heads import KINDS
from bana.training.machine import PRECISIONS, Machine
from bana.training.runs import Interrupted
from bana.training.segmentation import LOSSES

ENDINGS = ("md", "csv", "tex", "json")  # of a table's files


def test_help_needs_no_torch():
    code = (
        "import sys, bana.commands.main as m; m._parser().format_help(); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_choices_are_those_of_the_package():
    assert set(commands.LOSSES) == set(LOSSES)
    assert (bench.TASKS, bench.HEADS) == (TASKS, KINDS)
    assert bench.RECIPES == tuple(RECIPES)
    assert bench.EXPERIMENTS == tuple(EXPERIMENTS)
    assert set(commands.VARIANTS) == set(VARIANTS)
    assert set(train.POOLINGS) == set(POOLINGS)
    assert set(train.PRECISIONS) == set(PRECISIONS)
    # Whether there is a bar is for who trains several networks beside each other.
    assert {*train.MACHINE, "progress"} == {field.name for field in fields(Machine)}


def test_wrong_input_is_one_line_and_exit_code_2(capsys):
    assert main(["run", "--profile", "smal"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("bana: unknown profile 'smal'")
    assert message.count("\n") == 1


def test_debug_shows_where_it_happened():
    with pytest.raises(ValueError, match="unknown profile"):
        main(["--debug", "run", "--profile", "smal"])


@pytest.mark.parametrize(
    ("words", "stage", "choice"),
    [
        (["train", "classifier", "--pooling", "gap"], "classifier", ("gap",)),
        (["train", "segmentation"], "segmenter", ("nal",)),
    ],
)
def test_commands_call_their_stage(monkeypatch, words, stage, choice):
    called = []
    monkeypatch.setattr(stages, stage, lambda *arguments: called.append(arguments))
    assert main([*words, "--profile", "smoke"]) == 0
    ((profile, *rest),) = called
    assert profile.name == "smoke"
    machine = [Machine()] if words[0] == "train" else []
    assert rest == [*choice, None, *machine]


@pytest.mark.parametrize("failures", [{}, {"a": "a.jpg: not an image"}])
def test_label_hands_on_who_makes_what_and_tells_failures(
    monkeypatch, tmp_path, capsys, failures
) -> None:
    called = []
    monkeypatch.setattr(stages, "labels", lambda *words: called.append(words) or tmp_path)
    (tmp_path / "manifest-2-of-3.json").write_text(json.dumps({"failures": failures}))
    words = ["--split", "val", "--variant", "boxes", "--workers", "4", "--batch", "8"]
    words += ["--devices", "cuda:0,cuda:1", "--shard", "2/3"]
    assert main(["label", "--profile", "smoke", *words]) == (1 if failures else 0)
    ((profile, split, variant, root, crew, shard),) = called
    assert (profile.name, split, variant, root) == ("smoke", "val", "boxes", None)
    assert crew == Crew(4, ("cuda:0", "cuda:1"), 8)
    assert shard == (2, 3)
    assert capsys.readouterr().err == "".join(f"bana: {reason}\n" for reason in failures.values())


def test_shard_must_be_two_numbers(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["label", "--shard", "first"])
    assert "'first' is not K/N" in capsys.readouterr().err
    for part in ("5/4", "0/4"):
        with pytest.raises(SystemExit):
            main(["label", "--shard", part])
        told = f"argument --shard: {part}: K goes from 1 to N, such as 1/4\n"
        assert capsys.readouterr().err.endswith(told)


def test_evaluate_prints_tables_and_writes_a_valid_record(monkeypatch, tmp_path, capsys):
    scores = {"miou": 61.25, "coverage": 90.0, "per_class": [61.25, float("nan")]}
    record = {
        "data": {"images": {"train": 4, "val": 3}},
        "labels_val": {"boxes": scores},
        "segmentation_val": {"nal": {"single": scores, "single-crf": scores}},
    }
    monkeypatch.setattr(recording, "record", lambda profile, root: record)
    out = tmp_path / "new" / "smoke.json"
    assert main(["evaluate", "--profile", "smoke", "--out", str(out)]) == 0
    assert json.loads(out.read_text())["labels_val"]["boxes"]["per_class"] == [61.25, None]
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["boxes", "61.2", "90.0"] in lines
    assert ["nal", "61.2", "61.2"] in lines


def _seed_record(profile, root) -> dict:
    row = {"miou": 60.0 + profile.seed, "coverage": 100.0, "per_class": [60.0, None]}
    return {
        "profile": {"name": profile.name, "seed": profile.seed},
        "data": {"images": {"train": 4, "val": 3}},
        "labels_val": {"bap": {**row, "boundary_miou": 30.0}},
        "instances_val": {"bap": {"ap": 10.0, "ap50": 20.0, "ap75": None}},
        "segmentation_val": {"nal": {"single": {**row, "boundary_miou": 20.0}}},
        "seconds": {},
    }


def test_evaluate_takes_several_seeds(monkeypatch, tmp_path, capsys):
    asked = []
    monkeypatch.setattr(
        recording,
        "record",
        lambda profile, root: asked.append(profile) or _seed_record(profile, root),
    )
    monkeypatch.setattr(
        recording, "differences", lambda profiles, root: {"of": [each.seed for each in profiles]}
    )
    out = tmp_path / "smoke.json"
    words = ["evaluate", "--profile", "smoke", "--out", str(out)]
    assert main([*words, "--seeds", "0", "1", "2"]) == 0
    assert [profile.name for profile in asked] == ["smoke", "smoke-seed1", "smoke-seed2"]
    record = json.loads(out.read_text())
    assert record["command"] == "bana evaluate --profile smoke --seeds 0 1 2"
    assert record["seeds"] == [0, 1, 2] and record["profile"]["name"] == "smoke"
    assert record["labels_val"]["bap"]["miou"] == 61
    assert record["spread"]["labels_val"]["bap"]["miou"] == 1
    assert record["differences"] == {"of": [0, 1, 2]}
    told = capsys.readouterr().out
    assert "mean ± standard deviation of 3 seeds" in told
    assert "61.0 ± 1.0" in told and "30.0 ± 0.0" in told and "20.0 ± 0.0" in told
    assert main([*words, "--seeds", "1"]) == 0
    record = json.loads(out.read_text())
    assert record["profile"]["name"] == "smoke-seed1" and "seeds" not in record


def test_evaluate_trains_the_losses_that_are_asked_for(monkeypatch, tmp_path, capsys):
    asked = []

    def measured(profile, root) -> dict:
        asked.append(profile.losses)
        return _seed_record(profile, root)

    monkeypatch.setattr(recording, "record", measured)
    words = ["evaluate", "--profile", "smoke", "--out", str(tmp_path / "record.json")]
    assert main([*words, "--losses", "ignore", "nal"]) == 0 and asked == [("ignore", "nal")]
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["command"] == "bana evaluate --profile smoke --losses ignore nal"
    assert main([*words, "--losses", "ignore", "crf", "--gamma", "3"]) == 2
    assert "--gamma 3: none of these losses has it: leave it out" in capsys.readouterr().err


def test_wrong_seeds_are_refused_before_anything_is_made(monkeypatch, capsys):
    monkeypatch.setattr(recording, "record", None)
    for words, reason in ((["1", "1"], "every seed counts once"), (["-3"], "at least 0")):
        assert main(["evaluate", "--profile", "smoke", "--seeds", *words]) == 2
        told = capsys.readouterr().err
        assert reason in told and told.count("\n") == 1


def test_bench_trains_what_is_asked_and_writes_a_record(monkeypatch, tmp_path, capsys) -> None:
    asked = []

    def loss_bench(profile, settings, root) -> dict:
        asked.append(settings)
        row = {"mean": 61.25, "spread": 0.5, "by_seed": [60.75, 61.75]}
        shares = {"rescued": 12.5, "spoiled": None}
        return {
            "share": 0.75,
            "miou": dict.fromkeys(settings.losses, row),
            "differences": {"nal - crf": {"mean": 0.25, "low": -0.5, "high": 1.0}},
            "mechanism": dict.fromkeys(settings.losses, {"S": shares, "~S": shares}),
        }

    monkeypatch.setattr(benching, "loss_bench", loss_bench)
    monkeypatch.setattr(recording, "about", lambda profile, root: {"data": profile.name})
    out = tmp_path / "bench.json"
    words = ["bench", "losses", "--profile", "smoke", "--out", str(out), "--losses", "crf", "nal"]
    words += ["--tasks", "object", "--heads", "conv", "linear", "--seeds", "3", "4"]
    assert main([*words, "--epochs", "5"]) == 0
    assert [(each.task, each.head.kind) for each in asked] == [
        ("object", "conv"),
        ("object", "linear"),
    ]
    for each in asked:
        assert each.losses == ("crf", "nal") and each.seeds == (3, 4) and each.head.epochs == 5
    record = json.loads(out.read_text())
    assert record["command"] == (
        "bana bench losses --profile smoke --losses crf nal --tasks object --heads conv linear "
        "--epochs 5 --seeds 3 4"
    )
    assert record["data"] == "smoke" and record["seeds"] == [3, 4]
    assert set(record["benches"]) == {"object, conv", "object, linear"}
    assert record["benches"]["object, conv"]["miou"]["nal"]["mean"] == 61.25
    told = capsys.readouterr().out
    assert "61.2 ± 0.5" in told and "+0.2 [-0.5, +1.0], not told apart" in told
    assert main([*words, "--seeds", "3", "3"]) == 2
    assert "every seed counts once" in capsys.readouterr().err


def test_bench_noise_maps_what_is_asked(monkeypatch, tmp_path, capsys) -> None:
    asked = []

    def noise_map(profile, settings, root) -> list:
        asked.append((settings, root))
        over = {"lambda .1": {"mean": 0.25, "low": -0.5, "high": 1.0}}
        about = {"wrong": 12.5, "unreliable": 20.0, "recall": 61.0, "precision": 38.0}
        miou = {"crf": [60.75, 61.75]}
        return [
            {"noise": "both", "reach": 3, "miou": miou, "over crf": over, "over ignore": over}
            | about
        ]

    monkeypatch.setattr(benching, "loss_noise_map", noise_map)
    monkeypatch.setattr(recording, "about", lambda profile, root: {"data": profile.name})
    out = tmp_path / "noise.json"
    words = ["bench", "noise", "--profile", "voc-mini", "--out", str(out), "--head", "conv"]
    words += ["--reaches", "0", "3", "--seeds", "3", "4", "--epochs", "1", "--data", str(tmp_path)]
    assert main(words) == 0
    [(settings, root)] = asked
    assert (settings.reaches, settings.seeds, root) == ((0, 3), (3, 4), tmp_path)
    assert (settings.head.kind, settings.head.epochs) == ("conv", 1)
    record = json.loads(out.read_text())
    assert record["command"] == (
        "bana bench noise --profile voc-mini --head conv --reaches 0 3 --epochs 1 --seeds 3 4"
    )
    assert record["map"][0]["recall"] == 61.0 and record["head"] == "conv"
    told = capsys.readouterr().out
    assert "both spilled by 3: 12.5 % of labels in boxes wrong, 20.0 % in ~S" in told
    assert "lambda .1 - ignore" in told and "+0.2 [-0.5, +1.0], not told apart" in told


def test_bench_recipes_trains_what_is_asked(monkeypatch, tmp_path, capsys) -> None:
    asked = []

    def recipe_bench(profile, names, root, machine) -> dict:
        asked.append((list(names), root, machine.loader_workers))
        ahead = {"mean": 0.25, "low": -0.5, "high": 1.0}
        row = {"optimisation": {"iterations": 40, "batch": 8, "learning_rate": 0.001}}
        row |= {"miou": {"truth": 50.25, "crf": 50.0}, "truth - crf": ahead}
        row |= {"seconds": {"truth": 61.0, "crf": None}}
        return dict.fromkeys(names, row)

    def check_recipes(profile, names, root) -> None:
        asked.append("checked")

    labels = ["made by one"]
    monkeypatch.setattr(benching, "recipe_bench", recipe_bench)
    monkeypatch.setattr(benching, "check_recipes", check_recipes)
    monkeypatch.setattr(benching, "recipe_inputs", lambda profile, root: {"Y_crf": labels[-1]})
    monkeypatch.setattr(recording, "about", lambda profile, root: {"data": profile.name})
    out = tmp_path / "recipes.json"
    words = [
        "bench",
        "recipes",
        "--profile",
        "voc-mini",
        "--out",
        str(out),
        "--data",
        str(tmp_path),
    ]
    assert main([*words, "--workers", "4", "--recipes", "times-16", "plain"]) == 0
    earlier = json.loads(out.read_text())["recipes"]
    assert list(earlier) == ["plain", "times-16"]  # in the order of the list
    assert "torch" in earlier["plain"]["environment"]
    earlier["times-16"]["environment"] = earlier["plain"]["environment"] = "another machine's"
    out.write_text(json.dumps(json.loads(out.read_text()) | {"recipes": earlier}))
    assert main(words) == 0
    chosen = [*bench.RECIPES[:-3]]
    everything = [*chosen, "times-16"]
    assert asked == [
        "checked",
        (["times-16", "plain"], tmp_path, 4),
        "checked",
        (chosen, tmp_path, None),
    ]
    record = json.loads(out.read_text())
    assert record["recipes"]["times-16"] == earlier["times-16"]
    assert record["recipes"]["plain"]["environment"] != "another machine's"
    assert (
        record["command"]
        == f"bana bench recipes --profile voc-mini --recipes {' '.join(everything)}"
    )
    assert record["recipes"]["plain"]["miou"]["truth"] == 50.25
    assert record["inputs"] == {"Y_crf": "made by one"} and list(record["recipes"]) == everything
    told = capsys.readouterr().out
    assert "50.2" in told and "+0.2 [-0.5, +1.0], not told apart" in told
    # A record of other labels is neither added to nor written over, and nothing is trained for it.
    labels.append("made by another")
    before, asked[:] = out.read_text(), []
    assert main([*words, "--recipes", "ema"]) == 2
    assert "were measured on other inputs" in capsys.readouterr().err
    assert out.read_text() == before and asked == ["checked"]


def test_bench_left_out_makes_what_is_asked(monkeypatch, tmp_path, capsys) -> None:
    asked = []
    row = {"miou": 61.25, "mean": 0.25, "low": -0.5, "high": 1.0, "verdict": "not told apart"}

    def left_out(profile, names, images, root) -> dict:
        asked.append((profile.name, list(names), images, root))
        made = {"question": "Which?", "shows": "This one.", "images": 3}
        return {name: made | {"changes": {"T 2": dict.fromkeys(MEASURES, row)}} for name in names}

    monkeypatch.setattr(running, "left_out", left_out)
    monkeypatch.setattr(recording, "about", lambda profile, root: {"data": profile.name})
    out = tmp_path / "left-out.json"
    words = ["bench", "left-out", "--profile", "voc-mini", "--out", str(out)]
    assert main([*words, "--experiments", "temperature", "--images", "3"]) == 0
    record = json.loads(out.read_text())
    command = "bana bench left-out --profile voc-mini --experiments temperature --images 3"
    assert record["command"] == command and record["data"] == "voc-mini"
    assert record["experiments"]["temperature"]["changes"]["T 2"]["y_crf"] == row
    told = capsys.readouterr().out
    assert (
        "temperature: Which?" in told
        and "This one." in told
        and "+0.2 [-0.5, +1.0], not told apart" in told
    )
    assert main([*words, "--data", str(tmp_path)]) == 0
    everything = list(bench.EXPERIMENTS[:-1])
    assert asked == [
        ("voc-mini", ["temperature"], 3, None),
        ("voc-mini", everything, None, tmp_path),
    ]
    assert "--images" not in json.loads(out.read_text())["command"]


def test_bench_sam_asks_what_is_given(monkeypatch, tmp_path, capsys) -> None:
    asked = []
    estimate = {"value": 61.25, "low": 60.0, "high": 62.0}
    ahead = {"mean": 0.25, "low": -0.5, "high": 1.0, "verdict": "not told apart"}
    row = dict.fromkeys(("boxes", "y_crf", "sam"), estimate)
    row |= dict.fromkeys(("sam - y_crf", "sam - boxes"), ahead)
    card = {"checkpoint": "vit", "type": "sam", "parameters": 91_000_000, "images": 3}
    card |= {"seconds an image": 1.25, "prompts an image": 10.0}
    card |= {"drawings": {"unchanged": {"miou": row}}, "classes": {"cup": row | {"sam": None}}}

    def sam_card(profile, folder, images, root) -> dict:
        asked.append((profile.name, folder, images, root))
        return card

    monkeypatch.setattr(prompting, "sam_card", sam_card)
    monkeypatch.setattr(recording, "about", lambda profile, root: {"data": profile.name})
    monkeypatch.setattr(records, "published_path", lambda file: tmp_path / file)
    folder = tmp_path / "checkpoints" / "vit"
    words = ["bench", "sam", "--profile", "voc-mini", "--sam", str(folder), "--data", str(tmp_path)]
    assert main([*words, "--images", "3"]) == 0 and main([*words, "--record"]) == 0
    assert asked == [("voc-mini", folder, 3, tmp_path), ("voc-mini", folder, None, tmp_path)]
    record = json.loads((tmp_path / "sam-voc-mini.json").read_text())
    assert record["command"] == "bana bench sam --profile voc-mini --sam vit"
    assert record["sam"] == card and record["data"] == "voc-mini"
    assert str(tmp_path) not in json.dumps(record)
    told = capsys.readouterr().out
    assert "vit (sam, 91.0 M parameters), 3 images" in told
    assert "boxes unchanged    61.2   61.2   61.2  +0.2 [-0.5, +1.0], not told apart" in told
    with pytest.raises(SystemExit):
        main(["bench", "sam", "--profile", "voc-mini"])
    assert "--sam" in capsys.readouterr().err


def test_bench_sam_refuses_a_folder_in_a_line(tmp_path, capsys) -> None:
    pytest.importorskip("transformers", reason="needs transformers: pip install -e .[sam]")
    words = ["bench", "sam", "--profile", "smoke", "--sam", str(tmp_path / "none")]
    assert main(words) == 2
    told = capsys.readouterr().err
    assert told.startswith("bana: ") and "no such folder" in told and told.count("\n") == 1


def test_bench_left_out_lists_and_makes_nothing(monkeypatch, tmp_path, capsys) -> None:
    monkeypatch.setattr(running, "left_out", None)
    out = tmp_path / "left-out.json"
    assert main(["bench", "left-out", "--list", "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert not out.exists() and told.count("?\n") == len(bench.EXPERIMENTS)
    assert all(f"\n{name} " in f"\n{told}" for name in bench.EXPERIMENTS)


REGIME = {
    "images": 3,
    "boxes": 4,
    "filling": {"boxes": 4, "mean": 61.5, "quartiles": [40.0, 60.0, 80.0]},
    "miou": {"bap": {"value": 71.25, "low": 60.0, "high": 80.0}},
    "differences": [{"first": "bap", "second": "gap", "mean": 2.0, "low": -1.0, "high": 5.0}],
    "inside": {"all": {"pixels": 9, "recall": None}},
}


@pytest.mark.parametrize("sigma", [False, True])
def test_regime_prints_the_card_and_writes_its_record(sigma, monkeypatch, tmp_path, capsys):
    asked = []
    estimated = {"value": 57.0, "low": 50.5, "high": 63.5}
    bins = [{"low": 0.0, "high": 0.1, "share": 12.0, "right": None}]
    judged = {"images": 5, "pixels": 7, "right": estimated, "auc": estimated, "bins": bins}
    monkeypatch.setattr(
        regime, "regime_card", lambda profile, *rest: asked.append((profile.name, *rest)) or REGIME
    )
    monkeypatch.setattr(regime, "sigma_card", lambda profile, root: judged)
    out = tmp_path / "new" / "card.json"
    words = ["regime", "--profile", "smoke", "--out", str(out), "--split", "train"]
    assert main([*words, *["--sigma"] * sigma]) == 0
    assert asked == [("smoke", "train", None)]
    record = json.loads(out.read_text())
    given = "bana regime --profile smoke --split train"
    assert record["command"] == given + " --sigma" * sigma
    assert record["regime"] == REGIME and record["sigma"] == (judged if sigma else None)
    assert record["split"] == "train" and record["seed"] == 0
    assert record["profile"]["name"] == "smoke" and record["data"]["images"]["val"] == 3
    assert record["commit"] and record["environment"]["torch"]
    told = " ".join(capsys.readouterr().out.split())
    assert "regime of 3 train images, 4 boxes a box is filled to 61.5 %" in told
    assert "bap mIoU 71.2 [60.0, 80.0]" in told and "errors that lie in ~S -" in told
    assert "bap - gap +2.0 [-1.0, +5.0], not told apart" in told
    assert ("AUC (chance: 50) 57.0 [50.5, 63.5]" in told) == sigma


def test_figure_makes_what_is_asked_and_says_what_it_did(monkeypatch, tmp_path, capsys):
    asked = []

    def make(gallery, name, size):
        asked.append((gallery.sources.profile.name, gallery.folder, name, size))
        return Made(tmp_path / f"{name}.png", name == "teaser", name != "filling")

    monkeypatch.setattr(making.Gallery, "make", make)
    words = ["figure", "--profile", "smoke", "--size", "slide", "--out", str(tmp_path)]
    assert main([*words, "teaser", "overview", "filling"]) == 0
    names = ("teaser", "overview", "filling")
    assert asked == [("smoke", tmp_path, name, "slide") for name in names]
    told = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[1] for line in told] == ["computed and drawn", "drawn", "up to date"]
    asked.clear()
    assert main([*words, "--all"]) == 0
    assert [name for _, _, name, _ in asked] == list(FIGURES)


@pytest.mark.parametrize(("command", "there"), [("figure", FIGURES), ("table", TABLES)])
def test_figures_and_tables_are_listed_and_others_refused(command, there, capsys):
    assert main([command, "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(there)
    for words, told in (
        ([], "name some, or give --all; there are "),
        (["labels", "--all"], "not names and --all"),
        (["tease"], f"unknown {command} 'tease': use one of {next(iter(there))}, "),
    ):
        assert main([command, *words]) == 2
        assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "unused"),
    [
        ("figure --list teaser", "teaser"),
        ("figure --list --all", "--all"),
        ("table --list labels --record", "labels --record"),
        ("table --list --out o", "--out"),
    ],
)
def test_a_list_takes_nothing_that_is_of_making(words, unused, capsys):
    assert main(words.split()) == 2
    assert capsys.readouterr().err == f"bana: --list makes nothing: leave out {unused}\n"


def test_table_takes_records_where_no_profile_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("BANA_RUNS", str(tmp_path / "runs"))
    assert main(["table", "labels", "regime"]) == 0
    told = capsys.readouterr().out
    assert "Table 1. Labels made from boxes" in told and "| BAP, Y_crf |" in told
    files = {path.name for path in (tmp_path / "runs" / "tables").iterdir()}
    assert files == {f"table-{n}.{e}" for n in ("labels", "regime") for e in ENDINGS}
    note = json.loads((tmp_path / "runs" / "tables" / "table-labels.json").read_text())
    assert note["command"] == "bana table labels" and note["profiles"] == ["voc-mini", "sample"]
    assert set(note["records"]) >= {"sample.json", "voc-mini.json"} and note["commit"]
    assert "bench-sample.json" not in note["records"]
    for words in (["--data", str(tmp_path)], ["--record"]):
        assert main(["table", "labels", *words]) == 2
        told = f"{words[0]} is of a profile's run: name its --profile too"
        assert told in capsys.readouterr().err


def test_table_records_what_no_other_command_does(monkeypatch, tmp_path, capsys):
    from bana.experiment.exhibits import measured

    monkeypatch.setenv("BANA_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(gallery, "published_path", lambda file: tmp_path / "results" / file)
    part = measured.PARTS["weighings"]._replace(measure=lambda *words: {"crf": [70.0], "cells": []})
    monkeypatch.setitem(measured.PARTS, "weighings", part)
    assert main(["table", "gamma_lambda", "--profile", "smoke", "--record"]) == 0
    path = tmp_path / "results" / "weighings-smoke.json"
    record = json.loads(path.read_text())
    assert record["command"] == "bana table gamma_lambda --profile smoke --record"
    assert record["weighings"] == {"crf": [70.0], "cells": []}
    assert record["seed"] == 0 and record["data"]["images"] == {"train": 4, "val": 3}
    assert {"commit", "environment", "profile"} <= set(record)
    assert f"record: {path}" in capsys.readouterr().out
    monkeypatch.setattr(measured, "from_run", None)  # nothing is measured in vain
    assert main(["table", "regime", "--profile", "smoke", "--record"]) == 2
    assert "`bana regime` record what these show" in capsys.readouterr().err


def test_table_says_how_long_the_trainings_of_grids_take(monkeypatch, capsys):
    from bana.experiment import grids

    monkeypatch.setattr(grids, "to_train", lambda *words: [1, 2])
    for seconds, told in ((61.9, ", about 62 s each, as the profile's own took"), (None, "")):
        monkeypatch.setattr(grids, "seconds_each", lambda profile, seconds=seconds: seconds)
        gallery._tell_of_trainings(get_profile("smoke"), None, ("grids",))
        assert capsys.readouterr().err == f"bana: classifiers to train: N = 1, 2{told}\n"
    gallery._tell_of_trainings(get_profile("smoke"), None, ("record",))
    assert capsys.readouterr().err == ""


WITH_DATA = [
    ["run"],
    ["train", "classifier"],
    ["train", "segmentation"],
    ["label", "--variant", "boxes"],
    ["evaluate"],
    ["regime"],
    ["predict", "--split", "val", "--out", "o"],
    ["export", "--out", "o"],
    ["bench", "losses"],
    ["bench", "noise"],
    ["bench", "left-out"],
    ["bench", "sam", "--sam", "folder"],
    ["figure", "--all"],
    ["table", "--all"],
]


@pytest.mark.parametrize("words", WITH_DATA, ids=" ".join)
@pytest.mark.parametrize("profile", ["sample", "smoke", "smoke-seed2"])
def test_a_folder_that_would_be_ignored_is_refused(words, profile, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BANA_RUNS", str(tmp_path / "runs"))
    assert main([*words, "--profile", profile, "--data", "/no/such/folder"]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"bana: profile {profile!r} draws its own data: leave out --data /no/")
    assert "(voc-mini, paper-vgg, paper-resnet)" in told and told.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_package_itself_refuses_it_too():
    with pytest.raises(ValueError, match="draws its own data"):
        stages.labels(get_profile("smoke"), "train", "boxes", "/no/such/folder")


def test_a_variable_that_is_not_used_is_told_and_stops_nothing(monkeypatch, capsys):
    monkeypatch.setattr(stages, "classifier", lambda *arguments: None)
    monkeypatch.setenv("BANA_VOC_ROOT", "/no/such/folder")
    assert main(["train", "classifier", "--profile", "smoke"]) == 0
    told = "profile 'smoke' draws its own data, BANA_VOC_ROOT=/no/such/folder is not used\n"
    assert capsys.readouterr().err == f"bana: note: {told}"
    assert main(["train", "classifier", "--profile", "voc-mini"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "words",
    [["label"], ["export", "--out", "o"], ["train", "classifier"], ["bench", "losses"]],
    ids=" ".join,
)
def test_a_strong_split_is_of_commands_that_train_a_segmenter(words, capsys):
    with pytest.raises(SystemExit) as end:
        main([*words, "--profile", "smoke", "--strong", "val"])
    assert end.value.code == 2 and "--strong" in capsys.readouterr().err


WITH_SETTINGS = {
    ("train", "classifier"): ("--grid", "--parts"),
    ("train", "segmentation"): tuple(train.SETTINGS),
    ("label",): ("--grid", "--parts", "--label-grid", "--threshold"),
    ("evaluate",): tuple(train.SETTINGS),
    ("regime",): tuple(train.SETTINGS),
    ("predict", "--out", "o"): tuple(train.SETTINGS),
    ("export", "--out", "o"): ("--grid", "--parts", "--label-grid", "--threshold"),
    ("bench", "losses"): ("--grid", "--parts", "--label-grid", "--threshold"),
}


@pytest.mark.parametrize("words", WITH_SETTINGS, ids=" ".join)
def test_a_command_takes_the_settings_that_it_uses(words, capsys):
    for option in train.SETTINGS:
        given = [*words, "--profile", "smoke", option, "3" if "threshold" not in option else ".5"]
        if option in WITH_SETTINGS[words]:
            profile = train.chosen_profile(commands._parser().parse_args(given))
            assert profile.name.startswith("smoke-") and profile != get_profile("smoke")
        else:
            with pytest.raises(SystemExit):
                main(given)
            assert option in capsys.readouterr().err


def test_changed_settings_arrive_at_the_stages(monkeypatch):
    called = []
    monkeypatch.setattr(stages, "segmenter", lambda *words: called.append(words))
    words = ["--grid", "2", "--label-grid", "3", "--threshold", ".5"]
    words += ["--gamma", "4", "--lambda", "1"]
    assert main(["train", "segmentation", "--profile", "smoke", *words]) == 0
    profile = called[0][0]
    assert (profile.grid_size, profile.gamma, profile.lam) == (2, 4, 1)
    assert (profile.unary.grid_size, profile.unary.background_threshold) == (3, 0.5)
    assert profile.name == "smoke-grid2-labelgrid3-threshold0.5-gamma4-lambda1"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("train segmentation --loss crf --gamma 3", "--gamma 3: loss 'crf' has none"),
        ("train segmentation --loss entropy --gamma 3", "--gamma 3: loss 'entropy' has none"),
        ("predict --loss ret --lambda 1 --out o", "--lambda 1: loss 'ret' has none"),
        ("regime --lambda 1", "--lambda 1: is of the segmenter, which only --sigma asks"),
        ("label --variant grabcut --grid 2", "--grid 2: labels 'grabcut' are made without"),
        ("label --variant gap --threshold .5", "--threshold 0.5: labels 'gap' have no u_0"),
        ("export --variant boxes --label-grid 2 --out o", "--label-grid 2: labels 'boxes' are"),
        ("label --threshold 2", "threshold must be at most 1, got 2"),
    ],
)
def test_settings_that_would_change_nothing_are_refused(words, told, capsys):
    assert main([*words.split(), "--profile", "smoke"]) == 2
    said = capsys.readouterr().err
    assert told in said and said.count("\n") == 1


def test_a_record_tells_the_changes_of_its_command(monkeypatch, tmp_path):
    monkeypatch.setattr(recording, "record", lambda profile, root: _seed_record(profile, root))
    out = tmp_path / "r.json"
    words = ["--iterations", "2", "--grid", "2", "--lambda", "0.5"]
    assert main(["evaluate", "--profile", "smoke", *words, "--out", str(out)]) == 0
    told = "bana evaluate --profile smoke --iterations 2 --grid 2 --lambda 0.5"
    assert json.loads(out.read_text())["command"] == told


def test_a_record_of_true_masks_is_not_that_of_labels_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(recording, "record", lambda profile, root: _seed_record(profile, root))
    records = []
    for words in ([], ["--strong", "val"]):
        out = tmp_path / f"{len(words)}.json"
        assert main(["evaluate", "--profile", "smoke", *words, "--out", str(out)]) == 0
        records.append(json.loads(out.read_text()))
    assert [record["profile"]["name"] for record in records] == ["smoke", "smoke-strong-val"]
    assert records[1]["command"] == "bana evaluate --profile smoke --strong val"


def test_other_options_that_would_be_ignored(capsys):
    assert main(["regime", "--profile", "smoke", "--strong", "val"]) == 2
    assert "--strong is of the segmenter" in capsys.readouterr().err
    words = ["label", "--profile", "smoke", "--variant"]
    for variant, told in (
        ("bap", "no such file or folder"),
        ("boxes", "labels 'boxes' are made without a classifier: leave it out"),
    ):
        assert main([*words, variant, "--weights", "/no/such/file"]) == 2
        assert f"--weights /no/such/file: {told}" in capsys.readouterr().err
    words.append("boxes")
    for option in ("--workers", "--batch"):
        with pytest.raises(SystemExit):
            main([*words, option, "0"])
        assert "'0' is no number from 1 up" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["evaluate", "regime", "predict", "export", "figure", "table"])
def test_help_of_a_command_needs_no_torch(command):
    code = (
        "import sys, contextlib, bana.commands.main\n"
        "with contextlib.suppress(SystemExit): bana.commands.main.main(sys.argv[1:])\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, command, "--help"], capture_output=True)
    assert done.returncode == 0 and b"--profile" in done.stdout


def test_check_says_what_to_do(monkeypatch, capsys):
    assert [answer.found for answer in environment.check_environment() if not answer.found] == []
    monkeypatch.setattr(environment, "MEMORY_GB", 1e6)
    assert main(["check"]) == 1
    lines = capsys.readouterr().out.splitlines()
    found = next(i for i, line in enumerate(lines) if line.startswith("FIX  memory"))
    assert lines[found + 1].strip().startswith("-> close programs")


def test_course_build_says_what_it_made_and_where(tmp_path, capsys) -> None:
    assert main(["course", "build", "--out", str(tmp_path), "--edition", "student"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("student: 10 files, ") and said.endswith(f" s: {tmp_path / 'student'}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["student"]
    assert len(list((tmp_path / "student").glob("0?_*.ipynb"))) == 10


def test_course_build_makes_all_editions(tmp_path, monkeypatch, capsys) -> None:
    for module, name in ((editions, "build_students"), (editions, "build_instructors")):
        monkeypatch.setattr(module, name, lambda folder, bank: banks.append(bank) or [folder])
    monkeypatch.setattr(slides, "build_slides", lambda folder: [folder])
    for words, bank in (([], 0), (["--bank", "2027"], 2027)):
        banks = []
        assert main(["course", "build", "--out", str(tmp_path), *words]) == 0
        made = [line.split(" s: ")[1] for line in capsys.readouterr().out.splitlines()]
        assert made == [str(tmp_path / edition) for edition in EDITIONS]
        assert banks == [bank, bank]


def test_slides_take_no_bank(tmp_path, capsys) -> None:
    words = ["course", "build", "--out", str(tmp_path), "--edition", "slides", "--bank", "2027"]
    assert main(words) == 2
    assert capsys.readouterr().err == "bana: --bank 2027: slides ask no exercises: leave it out\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bank", ["-3", "many"])
def test_a_bank_that_is_no_seed_is_refused_in_one_line(bank: str, capsys) -> None:
    with pytest.raises(SystemExit):
        main(["course", "build", "--bank", bank])
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith(f"argument --bank: {bank}: give a seed, such as 7")


def test_course_playground_writes_the_page_that_is_asked(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(widget, "write_playground", lambda path: ("box", path))
    monkeypatch.setattr(widget, "write_noise_page", lambda path: ("noise", path))
    words = ["course", "playground", "--out", str(tmp_path / "page.html")]
    for more, page in (([], "box"), (["--about", "noise"], "noise"), (["--about", "box"], "box")):
        assert main([*words, *more]) == 0
        assert capsys.readouterr().out == f"{(page, tmp_path / 'page.html')}\n"


@pytest.mark.parametrize(("number", "code"), [(15, 143), (2, 130)], ids=["SIGTERM", "SIGINT"])
def test_every_command_tells_in_one_line_that_a_training_was_stopped(
    monkeypatch, capsys, number: int, code: int
) -> None:
    def record(*given):
        raise Interrupted(number, "stopped after iteration 3 of 9; run again to go on")

    monkeypatch.setattr(recording, "record", record)
    assert main(["evaluate", "--profile", "smoke"]) == code
    told = capsys.readouterr().err
    assert told == "bana: stopped after iteration 3 of 9; run again to go on\n"
    with pytest.raises(Interrupted):
        main(["--debug", "evaluate", "--profile", "smoke"])


def test_a_fault_of_ours_is_raised(monkeypatch) -> None:
    def record(*given):
        raise KeyError("ours")

    monkeypatch.setattr(recording, "record", record)
    with pytest.raises(KeyError):
        main(["evaluate", "--profile", "smoke"])


LEFT_BEHIND = """
import multiprocessing, signal, sys, time
from bana.commands import main as commands

def worker(ready):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ready.set()
    time.sleep(600)

def check(arguments):
    ready = multiprocessing.Event()
    multiprocessing.Process(target=worker, args=(ready,), daemon=True).start()
    ready.wait()
    raise KeyError("a fault")

if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    commands._check = check
    sys.exit(commands.main(["check"]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork, and no SIGTERM to ignore")
def test_an_error_does_not_wait_for_workers_that_ignore_signals(tmp_path) -> None:
    script = tmp_path / "left_behind.py"
    script.write_text(LEFT_BEHIND)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "KeyError: 'a fault'" in done.stderr
