package serve

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// processorTime is what this process has used of all cores.
func processorTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// dropProgramPages takes the pages of the program itself out of this process's memory:
// most were read by the start alone. The kernel keeps them cached for as long as it has
// room, and what is run again is mapped again, sixteen pages at a time, without reading it.
func dropProgramPages() error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find program: %w", err)
	}
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return err
	}
	defer maps.Close()
	regions, err := programRegions(maps, program)
	if err != nil {
		return err
	}
	for _, r := range regions {
		// The address is the kernel's, of memory that the collector does not manage.
		if _, _, errno := syscall.Syscall(syscall.SYS_MADVISE, r.from, r.to-r.from, syscall.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("drop pages of %s: %w", program, errno)
		}
	}
	return nil
}

// region is a range of addresses.
type region struct{ from, to uintptr }

// programRegions are the mappings of a program that hold nothing but what is in its file:
// those that can neither be written nor have been, by a loader say. maps is in the form of
// /proc/PID/smaps (proc_pid_smaps(5)).
func programRegions(maps io.Reader, program string) (regions []region, err error) {
	var r region
	var ours bool
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		if from, to, ok := strings.Cut(fields[0], "-"); ok {
			a, err := strconv.ParseUint(from, 16, 64)
			if err != nil {
				return nil, fmt.Errorf("read address %q: %w", from, err)
			}
			b, err := strconv.ParseUint(to, 16, 64)
			if err != nil {
				return nil, fmt.Errorf("read address %q: %w", to, err)
			}
			r = region{uintptr(a), uintptr(b)}
			ours = len(fields) >= 6 && strings.Join(fields[5:], " ") == program && strings.HasPrefix(fields[1], "r-") && strings.HasSuffix(fields[1], "p")
			continue
		}
		if ours && fields[0] == "Anonymous:" && fields[1] == "0" {
			regions = append(regions, r)
		}
	}
	return regions, lines.Err()
}
