package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// start is what one start of a server cost.
type start struct {
	// wall is the time from exec to ready; cpu is what was used until then.
	wall, cpu time.Duration
}

// result is what one run of one side measured.
type result struct {
	// version is what the server calls itself.
	version string
	// cold is a start on an empty directory, restart one on existing data.
	cold, restart start
	// idle is read after the first start and the pause; loaded after all phases.
	idle, loaded memory
	phases       []phase
}

// measureAll takes the sides in turn, the other one first each time. Nothing
// of one run is left for the next.
func measureAll(ctx context.Context, o options, sides []side, root string) (map[string][]result, error) {
	results := map[string][]result{}
	for n := range o.runs {
		order := slices.Clone(sides)
		if n%2 == 1 {
			slices.Reverse(order)
		}
		for _, s := range order {
			fmt.Fprintf(os.Stderr, "run %d of %d: %s\n", n+1, o.runs, s.name())
			dir := filepath.Join(root, fmt.Sprintf("%d-%s", n, s.name()))
			r, err := measureOne(ctx, o, s, dir)
			if err != nil {
				return nil, fmt.Errorf("run %d, %s: %w", n+1, s.name(), err)
			}
			results[s.name()] = append(results[s.name()], r)
			if err := os.RemoveAll(dir); err != nil {
				return nil, fmt.Errorf("remove the data of a run: %w", err)
			}
		}
	}
	return results, nil
}

// measureOne runs one side once on a directory of its own.
func measureOne(ctx context.Context, o options, s side, dir string) (r result, err error) {
	data, logs := filepath.Join(dir, "data"), filepath.Join(dir, "logs")
	for _, d := range []string{data, logs} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return r, fmt.Errorf("make a directory: %w", err)
		}
	}
	if err := s.prepare(data); err != nil {
		return r, err
	}
	// What an earlier run wrote must not be flushed on this one's time.
	syscall.Sync()
	err = during(s, data, logs, func(i *instance) error {
		if r.cold, err = i.measureStart(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(o.settle):
		}
		r.idle, err = i.memory()
		return err
	})
	if err != nil {
		return r, fmt.Errorf("first start: %w", err)
	}
	syscall.Sync()
	err = during(s, data, logs, func(i *instance) error {
		if r.restart, err = i.measureStart(ctx); err != nil {
			return err
		}
		return i.measureLoad(ctx, o, &r)
	})
	if err != nil {
		return r, fmt.Errorf("restart: %w", err)
	}
	return r, nil
}

// during starts the side, calls f, and stops the side whatever f returned.
func during(s side, data, logs string, f func(*instance) error) error {
	i, err := s.start(data, logs)
	if err != nil {
		return err
	}
	return errors.Join(f(i), i.stop())
}

// measureStart waits until the instance is ready.
func (i *instance) measureStart(ctx context.Context) (start, error) {
	wall, err := i.waitReady(ctx)
	if err != nil {
		return start{}, err
	}
	cpu, err := i.cpu()
	return start{wall: wall, cpu: cpu}, err
}

// measureLoad asks for the version, drives the load and reads the memory after.
func (i *instance) measureLoad(ctx context.Context, o options, r *result) error {
	config, err := i.config()
	if err != nil {
		return err
	}
	if r.version, err = serverVersion(config); err != nil {
		return err
	}
	if err := makeNamespaces(ctx, config); err != nil {
		return err
	}
	clients, err := makeClients(config, o.work.clients)
	if err != nil {
		return err
	}
	if r.phases, err = (load{work: o.work, clients: clients, cpu: i.cpu}).run(ctx); err != nil {
		return err
	}
	r.loaded, err = i.memory()
	return err
}
