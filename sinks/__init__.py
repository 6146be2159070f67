"""What delivers: the committer with its transaction per epoch, dead letters, and views that other processes read."""
