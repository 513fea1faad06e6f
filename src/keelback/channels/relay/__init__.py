"""Archives on their way from one channel to another: from the connection of the one into that of the other."""
