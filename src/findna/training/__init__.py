"""Learning: schedules, losses, teacher, self-distillation, pretraining and fine-tuning."""
