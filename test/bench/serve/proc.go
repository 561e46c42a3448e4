package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of CPU times in /proc. The kernel fixes USER_HZ at 100
// on every architecture that Kubernetes runs on.
const clockTick = time.Second / 100

// memory is what a process, or several added up, hold in RAM, in bytes.
type memory struct {
	// rss counts every page mapped; pss divides a shared page among its users.
	rss, pss int64
}

// cpu returns the CPU time used so far by all processes.
func (i *instance) cpu() (time.Duration, error) {
	var sum time.Duration
	for _, p := range i.procs {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
		if err != nil {
			return 0, fmt.Errorf("read the CPU time of %s: %w", p.name, err)
		}
		used, err := parseStat(string(data))
		if err != nil {
			return 0, fmt.Errorf("read the CPU time of %s: %w", p.name, err)
		}
		sum += used
	}
	return sum, nil
}

// memory returns what all processes hold now.
func (i *instance) memory() (memory, error) {
	var sum memory
	for _, p := range i.procs {
		for file, part := range map[string]struct {
			field string
			into  *int64
		}{
			"status":       {"VmRSS", &sum.rss},
			"smaps_rollup": {"Pss", &sum.pss},
		} {
			data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, file))
			if err != nil {
				return memory{}, fmt.Errorf("read the memory of %s: %w", p.name, err)
			}
			n, err := parseKB(string(data), part.field)
			if err != nil {
				return memory{}, fmt.Errorf("read the memory of %s: %w", p.name, err)
			}
			*part.into += n
		}
	}
	return sum, nil
}

// parseStat reads user and system time from /proc/PID/stat: fields 14 and 15,
// counted from after the command, which may hold spaces and brackets.
func parseStat(stat string) (time.Duration, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, errors.New("stat has too few fields")
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * clockTick, errors.Join(err1, err2)
}

// parseKB reads a "Field:   123 kB" line, in bytes.
func parseKB(text, field string) (int64, error) {
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(line, ":")
		if !ok || name != field {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		return n * 1024, err
	}
	return 0, fmt.Errorf("no field %s", field)
}
