package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"syscall"
	"time"
)

// cost is what a command took.
type cost struct {
	seconds float64
	memory  int64 // bytes of the largest process, its children included
	bytes   int64 // of what it wrote, if that is measured
}

// run runs a command to its end; what it prints is shown when it fails.
func run(ctx context.Context, dir string, env []string, args ...string) (cost, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env = dir, append(cmd.Environ(), env...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return cost{}, fmt.Errorf("%v: %w\n%s", args, err, said.Bytes()[max(0, said.Len()-12000):])
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return cost{}, fmt.Errorf("%v: no accounting", args)
	}
	return cost{seconds: time.Since(began).Seconds(), memory: usage.Maxrss << 10}, nil
}

// measurement is one row: two ways in turn. Before and after are not measured.
type measurement struct {
	name, ours, theirs string
	limit              string // what the project promises
	before             func(ctx context.Context, round int) error
	we, they           func(ctx context.Context, round int) (cost, error)
}

// row is the medians of a measurement.
type row struct {
	measurement
	our, their cost
	ratio      float64 // median of the rounds' ratios of time; 0: nothing to compare with
}

// results are what the rounds of a measurement gave so far.
type results struct {
	ours, theirs []cost
	ratios       []float64
}

// measure makes one round.
func (m measurement) measure(ctx context.Context, round int, r *results) error {
	if m.before != nil {
		if err := m.before(ctx, round); err != nil {
			return err
		}
	}
	our, err := m.we(ctx, round)
	if err != nil {
		return err
	}
	r.ours = append(r.ours, our)
	if m.they == nil {
		return nil
	}
	their, err := m.they(ctx, round)
	if err != nil {
		return err
	}
	r.theirs = append(r.theirs, their)
	r.ratios = append(r.ratios, our.seconds/their.seconds)
	return nil
}

func (m measurement) row(r results) row {
	row := row{measurement: m, our: medianCost(r.ours), their: medianCost(r.theirs)}
	if len(r.ratios) > 0 {
		row.ratio = median(r.ratios)
	}
	return row
}

func medianCost(list []cost) (m cost) {
	if len(list) == 0 {
		return m
	}
	var seconds []float64
	var memory, bytes []int64
	for _, c := range list {
		seconds, memory, bytes = append(seconds, c.seconds), append(memory, c.memory), append(bytes, c.bytes)
	}
	return cost{median(seconds), median(memory), median(bytes)}
}

func median[T int64 | float64](list []T) T {
	list = slices.Clone(list)
	slices.Sort(list)
	return list[len(list)/2]
}
