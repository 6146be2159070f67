"""What delivers: the committer with its transaction per epoch, dead letters, and the views that other processes read."""
