package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gatehouse-io/gatehouse/test/e2e/kept"
)

// most is how many finds are told.
const most = 20

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: leaks DIR")
		os.Exit(2)
	}
	text, ok, err := report(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "leaks:", err)
		os.Exit(3)
	}
	fmt.Print(text)
	if !ok {
		os.Exit(1)
	}
}

// report looks through a folder, and says whether it is clean.
func report(dir string) (text string, ok bool, err error) {
	secrets, err := readSecrets(filepath.Join(dir, kept.Secrets))
	if err != nil {
		return "", false, err
	}
	scanner := newScanner(secrets)
	ok = true
	if len(secrets) == 0 {
		text, ok = text+"leaks: the tests have handed out no secret\n", false
	}
	for _, folder := range []string{kept.Logs, kept.Audit, kept.Traces} {
		files, size := 0, int64(0)
		err := filepath.WalkDir(filepath.Join(dir, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			n, err := scanner.file(path)
			if n > 0 {
				files++
			}
			size += n
			return err
		})
		if err != nil && !os.IsNotExist(err) {
			return "", false, err
		}
		text += fmt.Sprintf("leaks: %s: %d files, %.1f MB\n", folder, files, float64(size)/1e6)
		if files == 0 {
			text, ok = text+"leaks: "+folder+": there is nothing to look through\n", false
		}
	}
	for _, f := range scanner.found[:min(len(scanner.found), most)] {
		text += fmt.Sprintf("%s:%d: %s\n", f.file, f.line, f.what)
	}
	if n := len(scanner.found); n > 0 {
		return text + fmt.Sprintf("leaks: %d lines hold a secret\n", n), false, nil
	}
	if ok {
		text += fmt.Sprintf("leaks: none of %d secrets, and no token or key\n", len(secrets))
	}
	return text, ok, nil
}

// readSecrets reads what the tests have handed out, each once.
func readSecrets(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var all []string
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			value, err := base64.StdEncoding.DecodeString(lines.Text())
			if err != nil {
				f.Close()
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			if !seen[string(value)] {
				seen[string(value)] = true
				all = append(all, string(value))
			}
		}
		f.Close()
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return all, nil
}
