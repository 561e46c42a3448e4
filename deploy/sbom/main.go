package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Getenv("SOURCE_DATE_EPOCH"), os.Stdout, os.Stderr); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// run writes the document of the binary that args name to out.
func run(args []string, epoch string, out, errOut io.Writer) error {
	var s subject
	flags := flag.NewFlagSet("sbom", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.StringVar(&s.version, "version", "", "version of the binary, without the leading v (required)")
	flags.StringVar(&s.name, "name", "", "name of the document (default: the binary's file name)")
	flags.StringVar(&s.revision, "revision", "", "commit the binary was built from, where the tree was clean")
	flags.StringVar(&s.license, "license", noAssertion, "SPDX licence expression of the binary's own module")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 || s.version == "" {
		return errors.New("usage: sbom -version VERSION [-name NAME] [-revision COMMIT] [-license ID] BINARY")
	}
	file := flags.Arg(0)
	s.file = filepath.Base(file)
	if s.name == "" {
		s.name = s.file
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return fmt.Errorf("read SOURCE_DATE_EPOCH: seconds since 1970 are needed, not %q", epoch)
	}
	s.created = time.Unix(seconds, 0)
	if s.sha256, err = hashFile(file); err != nil {
		return fmt.Errorf("hash binary: %w", err)
	}
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read build information: %w", err)
	}
	doc, err := describe(s, info)
	if err != nil {
		return fmt.Errorf("describe %s: %w", file, err)
	}
	data, err := doc.encode()
	if err != nil {
		return fmt.Errorf("encode document: %w", err)
	}
	_, err = out.Write(data)
	return err
}

func hashFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
