package serve

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

const memoryMaps = `00400000-055a7000 r-xp 00000000 fe:00 11503107                           /usr/bin/gate house
Rss:               75164 kB
Anonymous:             0 kB
055a7000-0b66a000 r--p 051a7000 fe:00 11503107                           /usr/bin/gate house
Anonymous:             0 kB
0b66a000-0b66b000 r--p 051a7000 fe:00 11503107                           /usr/bin/gate house
Anonymous:             4 kB
0b66b000-0b953000 rw-p 0b26a000 fe:00 11503107                           /usr/bin/gate house
Anonymous:             0 kB
0c000000-0c100000 r--s 00000000 fe:00 11503108                           /usr/bin/gate house
Anonymous:             0 kB
7f0000000000-7f0000001000 r-xp 00000000 fe:00 11503109                   /usr/lib/libc.so.6
Anonymous:             0 kB
7ffd00000000-7ffd00001000 r-xp 00000000 00:00 0 
Anonymous:             0 kB
VmFlags: rd ex mr mw me
`

// Only what can be read again from the program's file is dropped: dropping a page that a
// loader has written to would bring back what was there before.
func TestProgramRegions(t *testing.T) {
	got, err := programRegions(strings.NewReader(memoryMaps), "/usr/bin/gate house")
	if err != nil {
		t.Fatal(err)
	}
	if want := []region{{0x400000, 0x55a7000}, {0x55a7000, 0xb66a000}}; !slices.Equal(got, want) {
		t.Errorf("regions %x, want %x", got, want)
	}
	if got, err := programRegions(strings.NewReader(memoryMaps), "/usr/bin/another"); err != nil || len(got) > 0 {
		t.Errorf("regions of another program: %x, %v", got, err)
	}
	if _, err := programRegions(strings.NewReader("zz-00 r-xp 0 fe:00 1 /a\n"), "/a"); err == nil {
		t.Error("an address that is none is taken")
	}
}

// The program runs on without its pages, and has fewer of them.
func TestDropProgramPages(t *testing.T) {
	before := fileResident(t)
	if err := dropProgramPages(); err != nil {
		t.Fatal(err)
	}
	if after := fileResident(t); after >= before {
		t.Errorf("%d pages of files before, %d after", before, after)
	}
}

// fileResident is the line RssFile of /proc/self/status, in kB.
func fileResident(t *testing.T) (kb int) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); fields[0] == "RssFile:" {
			for _, digit := range fields[1] {
				kb = 10*kb + int(digit-'0')
			}
		}
	}
	return kb
}

func TestIdle(t *testing.T) {
	if idle(idleInterval) {
		t.Error("a core at work is idle")
	}
	if !idle(idleInterval / 50) {
		t.Error("a fiftieth of a core is not idle")
	}
	begun := processorTime()
	for end := time.Now().Add(30 * time.Millisecond); time.Now().Before(end); {
	}
	if processorTime() <= begun {
		t.Error("work takes no processor time")
	}
}
