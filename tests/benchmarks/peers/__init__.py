"""Scripts that run in the environments of other systems, and the work that all of them do."""
