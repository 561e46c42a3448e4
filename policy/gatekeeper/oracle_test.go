package gatekeeper_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// oracle is what Gatekeeper's own libraries say. They do not fit into this module: where
// GATEKEEPER_ORACLE names the program of test/oracle/gatekeeper it is asked, and what it
// answers is kept in testdata (make oracle-gatekeeper); elsewhere what was kept is read.
// The questions are the same every time, and a changed one has no answer yet.
func oracle(t *testing.T, question, answer any) {
	t.Helper()
	body, err := json.Marshal(question)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", "answers", fmt.Sprintf("%s-%.6x.json.gz", t.Name(), sha256.Sum256(body)))
	var data []byte
	if program := os.Getenv("GATEKEEPER_ORACLE"); program != "" {
		data = ask(t, program, body)
		keep(t, file, data)
	} else {
		data = kept(t, file)
	}
	if err := utiljson.Unmarshal(data, answer); err != nil {
		t.Fatal(err)
	}
}

func ask(t *testing.T, program string, body []byte) []byte {
	t.Helper()
	cmd := exec.Command(program)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(body), os.Stderr
	data, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func keep(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, packed.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func kept(t *testing.T, file string) []byte {
	t.Helper()
	packed, err := os.Open(file)
	if err != nil {
		t.Fatalf("Gatekeeper has not been asked this question yet: make oracle-gatekeeper asks it (%v)", err)
	}
	defer packed.Close()
	r, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
