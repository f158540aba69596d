"""The gallery: figures and tables of the paper, drawn from data that `bana.experiment` keeps."""
