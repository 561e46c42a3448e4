package pki

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"os"

	certutil "k8s.io/client-go/util/cert"
)

// refreshBundle writes the authorities whose client certificates count into one
// file, for upstream's --client-ca-file takes one: the cluster CA and those of
// the operator's file. Only certificates are copied, so that a key which strayed
// into that file stays there. It writes only when the content differs, and
// leaves the bundle as it is when the operator's file cannot be used.
func refreshBundle(bundle string, ca *x509.Certificate, extraFile string) (changed bool, err error) {
	const verb = "read extra client CA file"
	want := encodeCert(ca)
	if extraFile != "" {
		data, err := os.ReadFile(extraFile)
		if err != nil {
			return false, &FileError{Verb: verb, File: extraFile, Err: bare(err)}
		}
		certs, err := certutil.ParseCertsPEM(data)
		if err != nil {
			return false, &FileError{
				Verb: verb,
				File: extraFile,
				Err:  errNoCert,
				Mend: "put at least one CERTIFICATE block in it, or leave the setting out",
			}
		}
		for _, cert := range certs {
			if !cert.Equal(ca) {
				want = append(want, encodeCert(cert)...)
			}
		}
	}
	if have, err := os.ReadFile(bundle); err == nil && bytes.Equal(have, want) {
		return false, nil
	}
	if err := writeFile(bundle, want); err != nil {
		return false, fmt.Errorf("refresh client CA bundle: %w", err)
	}
	return true, nil
}
