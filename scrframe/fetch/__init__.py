"""Reference data of a survey from archives: what it will cost, and the files that a run reads."""
