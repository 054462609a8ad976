"""What test rows share with training rows, with other tasks and with pretraining."""
