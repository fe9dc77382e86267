package main

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// A line of the table: a step, or one more ratio of the step before it.
type line struct {
	what string
	step string
	// against are the steps whose sum it is compared with, and unit is what that is called.
	against []string
	unit    string
	wanted  string // what the ratio is to be
	more    bool   // only the ratio, the rest was on the line before
}

// lines are what is told of a host.
var lines = []line{
	{what: "tar x of messages and index, sync", step: stepTar},
	{what: "tar x of the whole spool, sync", step: stepTarCache},
	{what: "conversion alone (scan, hash, write, index, sync)", step: stepConvert, against: []string{stepTar}, unit: "tar x of the same", wanted: "≤ 0.75"},
	{what: "conversion with cache records", step: stepConvertCache, against: []string{stepTarCache}, unit: "tar x of the same", wanted: "≤ 0.75"},
	{what: "reconstruct, nothing to parse (caches restored)", step: stepReconstruct},
	{what: "reconstruct that parses every message (no caches)", step: stepParse},
	{what: "ctl_mboxlist -u before it (in no ratio)", step: stepEnter},
	{what: "whole migrate, verified", step: stepMigrate, against: []string{stepTarCache, stepReconstruct}, unit: "tar x + reconstruct, caches restored", wanted: "≤ 0.75"},
	{step: stepMigrate, against: []string{stepTar, stepParse}, unit: "tar x + reconstruct, no caches", wanted: "≤ 0.75", more: true},
	{step: stepMigrate, against: []string{stepTenth}, unit: "a tenth of the host", wanted: "≤ 11", more: true},
	{what: "whole migrate --no-cache", step: stepNoCache, against: []string{stepTar, stepParse}, unit: "tar x + reconstruct, no caches"},
	{what: "migrate of a tenth of the host", step: stepTenth},
	{what: "the same again, nothing changed", step: stepAgain, against: []string{stepMigrate}, unit: "the first", wanted: "≤ 0.02"},
	{what: "the same again, a message more in %d of %d folders", step: stepChanged, against: []string{stepMigrate}, unit: "the first"},
	{what: "verify --level index", step: stepIndex, against: []string{stepMigrate}, unit: "migrate", wanted: "≤ 0.10"},
	{what: "source and spool to sha1sum, one after the other", step: stepReadInTurn},
	{what: "source and spool to sha1sum, both at once", step: stepReadBeside},
	{what: "verify --level content", step: stepContent, against: []string{stepReadInTurn}, unit: "sha1sum, one after the other", wanted: "≤ 1.2"},
	{step: stepContent, against: []string{stepReadBeside}, unit: "sha1sum, both at once", more: true},
}

// ours are the steps whose peak memory is that of the program.
var ours = []string{stepConvert, stepConvertCache, stepMigrate, stepNoCache, stepTenth, stepAgain, stepChanged, stepIndex, stepContent}

// report prints the tables of a host.
func (b *bench) report(h *host, all records, tenth *host) {
	fmt.Printf("\nHost: %s; a tenth: %s. %d jobs, medians of %d rounds.\n", h, tenth, b.jobs, b.rounds)
	for _, state := range b.states {
		t := table{{"with a " + string(state) + " page cache", "seconds", "messages/s", "cores", "peak MB", "ratio (least to most)", "wanted"}}
		r := all[state]
		var owed float64
		for _, l := range lines {
			samples := r[l.step]
			if len(samples) == 0 {
				continue
			}
			row := make([]string, len(t[0]))
			if !l.more {
				row[0] = l.what
				if l.step == stepChanged {
					row[0] = fmt.Sprintf(l.what, len(h.changing()), h.folders())
				}
				row[1] = fmt.Sprintf("%.2f", median(seconds(samples)))
				row[3] = cores(samples)
				if slices.Contains(ours, l.step) {
					row[4] = fmt.Sprintf("%.1f", peak(samples))
				}
				if l.step == stepMigrate || l.step == stepNoCache {
					row[2] = fmt.Sprintf("%.0f", float64(h.messages)/median(seconds(samples)))
				}
			}
			if l.against != nil {
				ratios := ratios(r, l.step, l.against)
				row[5] = fmt.Sprintf("%s × %s%s", digits(median(ratios)), l.unit, spread(ratios))
				row[6] = l.wanted
			}
			for _, s := range samples {
				owed = max(owed, s.owed.Seconds())
			}
			t = append(t, row)
		}
		fmt.Println()
		t.print()
		fmt.Printf("\nA sync after a step took %.2f s at most: what a step leaves to be written.\n", owed)
	}
}

func seconds(samples []sample) (all []float64) {
	for _, s := range samples {
		all = append(all, s.wall.Seconds())
	}
	return all
}

// ratios are of each round by itself: what slowed the machine down for a while slowed both.
func ratios(r map[string][]sample, step string, against []string) (all []float64) {
	for i, s := range r[step] {
		var sum float64
		for _, a := range against {
			sum += r[a][i].wall.Seconds()
		}
		all = append(all, s.wall.Seconds()/sum)
	}
	return all
}

// cores are how many processors were at work, on average: with the program's those of the
// programs that it ran.
func cores(samples []sample) string {
	var all []float64
	for _, s := range samples {
		all = append(all, s.cpu.Seconds()/s.wall.Seconds())
	}
	if m := median(all); m > 0 {
		return fmt.Sprintf("%.2f", m)
	}
	return ""
}

// peak is the most of all rounds, in MB.
func peak(samples []sample) (most float64) {
	for _, s := range samples {
		most = max(most, float64(s.peak)/(1<<20))
	}
	return most
}

// median is the mean of the two in the middle where there is none.
func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return (v[len(v)/2] + v[(len(v)-1)/2]) / 2
}

// digits are enough for a small ratio, and not too many for a large one.
func digits(ratio float64) string {
	switch {
	case ratio < 0.1:
		return fmt.Sprintf("%.3f", ratio)
	case ratio < 10:
		return fmt.Sprintf("%.2f", ratio)
	default:
		return fmt.Sprintf("%.1f", ratio)
	}
}

func spread(v []float64) string {
	if len(v) < 2 {
		return ""
	}
	return fmt.Sprintf(" (%s to %s)", digits(slices.Min(v)), digits(slices.Max(v)))
}

// A table is printed in Markdown. The first row is the header.
type table [][]string

func (t table) print() {
	widths := make([]int, len(t[0]))
	for _, row := range t {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var out strings.Builder
	for n, row := range t {
		for i, cell := range row {
			fmt.Fprintf(&out, "| %-*s ", widths[i], cell)
		}
		out.WriteString("|\n")
		if n == 0 {
			for _, w := range widths {
				out.WriteString("|" + strings.Repeat("-", w+2))
			}
			out.WriteString("|\n")
		}
	}
	fmt.Print(out.String())
}
