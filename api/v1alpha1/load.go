package v1alpha1

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// LoadServeConfiguration reads a ServeConfiguration from a file and validates
// it. Nothing is defaulted yet: see SetDefaults.
func LoadServeConfiguration(path string) (*ServeConfiguration, error) {
	cfg, source, err := ReadServeConfiguration(path)
	if err != nil {
		return nil, err
	}
	if err := source.Locate(Validate(cfg)); err != nil {
		return nil, err
	}
	return cfg, nil
}

// ReadServeConfiguration reads a ServeConfiguration from a file without
// validating it, for a caller that lays flags over it first:
//
//	cfg, source, err := v1alpha1.ReadServeConfiguration(path)
//	... // flags set fields of cfg
//	err = v1alpha1.SetDefaults(cfg, os.Getenv)
//	err = source.Locate(v1alpha1.Validate(cfg)) // the line, where the file is to blame
//
// Relative paths in it become absolute, read from the folder the file lies in.
func ReadServeConfiguration(path string) (*ServeConfiguration, *Source, error) {
	return read(path, ParseServeConfiguration, paths)
}

// read parses a file, and makes the fields that are paths absolute.
func read[T any](path string, parse func(string, []byte) (*T, *Source, error), paths func(*T) []*string) (*T, *Source, error) {
	data, err := readBounded(path)
	if err != nil {
		var pathErr *os.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err // the path stands before it already
		}
		return nil, nil, fmt.Errorf("%s: read configuration: %w", path, err)
	}
	cfg, source, err := parse(path, data)
	if err != nil {
		return nil, nil, err
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: resolve paths: %w", path, err)
	}
	resolve(paths(cfg), filepath.Dir(absolute))
	return cfg, source, nil
}

// readBounded reads at most one byte more than a configuration may have.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxConfigurationBytes+1))
}

// ResolvePaths makes every path of the configuration that is not absolute one
// below dir. Fields that are not set stay so.
func ResolvePaths(cfg *ServeConfiguration, dir string) { resolve(paths(cfg), dir) }

func resolve(paths []*string, dir string) {
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}

// paths returns every field that names a file or a folder.
func paths(cfg *ServeConfiguration) []*string {
	all := append(cfg.Detection.paths(),
		&cfg.DataDir,
		&cfg.TLS.CertFile,
		&cfg.TLS.KeyFile,
		&cfg.Etcd.CAFile,
		&cfg.Etcd.CertFile,
		&cfg.Etcd.KeyFile,
		&cfg.Authentication.ClientCAFile,
		&cfg.Authentication.ClientCRLFile,
		&cfg.Authentication.TokenFile,
		&cfg.Authentication.ConfigFile,
		&cfg.Authorization.ConfigFile,
		&cfg.Authorization.ABACPolicyFile,
		&cfg.Authorization.WebhookConfigFile,
		&cfg.Admission.ConfigFile,
		&cfg.Admission.ExternalData.CertFile,
		&cfg.Admission.ExternalData.KeyFile,
		&cfg.Encryption.ConfigFile,
		&cfg.Audit.PolicyFile,
		&cfg.Audit.LogFile,
		&cfg.Audit.Store.DataDir,
		&cfg.Tracing.CAFile,
	)
	if w := cfg.Authentication.Webhook; w != nil {
		all = append(all, &w.ConfigFile)
	}
	return all
}
