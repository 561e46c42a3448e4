package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

func TestDiskFullAtStart(t *testing.T) {
	disk := filepath.Join(folder(t), "m")
	mountTmpfs(t, disk, "100m")
	dir := filepath.Join(disk, "d")
	refuses(t, server.Options{Dir: dir}, dir, "is full", "free some space")
	unchanged(t, dir, map[string]string{})
}

// A disk that fills up under a running server ends it, or its writes, with a
// clear message. What was acknowledged is there when there is room again.
func TestDiskFullUnderLoad(t *testing.T) {
	disk := filepath.Join(folder(t), "m")
	mountTmpfs(t, disk, "400m")
	s := server.Start(t, server.Options{Dir: filepath.Join(disk, "d")})
	book := newLedger()
	// Where the audit trail is what finds the disk full, requests wait for it, and are
	// refused when the server's minute for a request is over.
	ctx, stop := context.WithTimeout(t.Context(), 90*time.Second)
	defer stop()
	var writers sync.WaitGroup
	refused := make(chan error, 4)
	for w := range cap(refused) {
		client := s.Admin(t)
		writers.Go(func() { refused <- book.work(ctx, client, fmt.Sprint("w", w)) })
	}
	time.Sleep(500 * time.Millisecond)
	ballast := filepath.Join(disk, "ballast")
	fill(t, ballast)

	writers.Wait()
	for range cap(refused) {
		if err := <-refused; errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a write has neither been acknowledged nor refused: %v", err)
		}
	}
	// It may live on, and refuse what it cannot write.
	ended := true
	if _, err := s.Admin(t).Discovery().RESTClient().Get().AbsPath("/livez").DoRaw(t.Context()); err == nil {
		ended = false
	}
	if ended {
		if code := s.Wait(t, 20*time.Second); code == 0 {
			t.Errorf("the server ended with exit code 0")
		}
		wellSaid(t, s.Log())
	} else {
		s.Kill()
	}
	t.Logf("%d writes were acknowledged before the disk was full; the server ended: %v; it said: %s", book.answers, ended, errorLine.FindString(s.Log()))

	// Still full: it does not start, and says why.
	if ended {
		refuses(t, server.Options{Dir: s.Dir}, s.Dir, "is full")
	}
	remove(t, ballast)
	again := s.Restart(t)
	book.settle(t, again)
	maps := again.Admin(t).CoreV1().ConfigMaps("default")
	if _, err := maps.Create(t.Context(), configMap("room"), metav1.CreateOptions{}); err != nil {
		t.Errorf("with room again a write is refused: %v", err)
	}
	again.Kill() // before its disk is unmounted
}

// fill writes a file that takes all the room there is.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
