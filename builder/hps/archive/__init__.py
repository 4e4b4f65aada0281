"""What any archive may hold, and strict readers of it: names, sizes, tar, zip, compression."""
