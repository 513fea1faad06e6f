"""What a run tells the CI system in which it is a step: annotations, a summary, outputs, and what is to be masked."""
