"""Packages for users: a server's part and a client's part for each pipeline of the catalogue."""
