package main

func rivalsHere() error { return nil }

var allRivals = make([]int, 6)

func (b *bench) rivals(h *host) error { return nil }
