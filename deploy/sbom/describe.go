package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	"unicode"
)

// subject is what the build information does not say about the binary.
type subject struct {
	name     string // of the document
	file     string // base name of the binary
	sha256   string // of the binary, in hex
	version  string // without the leading "v"
	revision string // commit it was built from, or ""
	license  string
	created  time.Time
}

// describe lists the binary, the standard library and every module linked into
// it, in the order of the build information (by module path).
func describe(s subject, info *debug.BuildInfo) (*document, error) {
	if info.Main.Path == "" {
		return nil, errors.New("the binary names no main module: build it with modules on")
	}
	doc := &document{
		SPDXVersion:  "SPDX-2.3",
		DataLicense:  "CC0-1.0",
		SPDXID:       documentID,
		Name:         s.name,
		CreationInfo: creationInfo{Created: s.created.UTC().Format("2006-01-02T15:04:05Z"), Creators: []string{"Tool: gatehouse-sbom-" + s.version}},
		Packages:     []spdxPackage{program(s, info), standardLibrary(info.GoVersion)},
	}
	for _, m := range info.Deps {
		doc.Packages = append(doc.Packages, library(m))
	}
	taken := map[string]bool{}
	for i := range doc.Packages {
		p := &doc.Packages[i]
		p.SPDXID = freeID(taken, p.Name+"-"+p.VersionInfo)
	}
	main := doc.Packages[0].SPDXID
	doc.Relationships = append(doc.Relationships, relationship{documentID, "DESCRIBES", main})
	for _, p := range doc.Packages[1:] {
		doc.Relationships = append(doc.Relationships, relationship{main, "DEPENDS_ON", p.SPDXID})
	}
	return doc, doc.setNamespace(info.Main.Path)
}

// setNamespace gives the document a name no other document has: it ends in the
// hash of all the rest.
func (d *document) setNamespace(module string) error {
	d.DocumentNamespace = ""
	data, err := d.encode()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	d.DocumentNamespace = fmt.Sprintf("https://%s/spdx/%s-%s", module, d.Name, hex.EncodeToString(sum[:]))
	return nil
}

func program(s subject, info *debug.BuildInfo) spdxPackage {
	p := newPackage(info.Main.Path, "v"+s.version, "APPLICATION")
	p.PackageFileName = s.file
	p.Checksums = []checksum{{"SHA256", s.sha256}}
	p.LicenseDeclared = s.license
	if s.revision != "" {
		p.DownloadLocation = "git+https://" + info.Main.Path + "@" + s.revision
	}
	built := []string{"Built with " + info.GoVersion}
	for _, setting := range info.Settings {
		built = append(built, setting.Key+"="+setting.Value)
	}
	p.Comment = strings.Join(built, " ")
	return p
}

// standardLibrary is the part of the Go distribution that is linked in. It is
// a package of its own because vulnerabilities are reported against it.
func standardLibrary(goVersion string) spdxPackage {
	number, experiments, _ := strings.Cut(strings.TrimPrefix(goVersion, "go"), " ")
	p := newPackage("stdlib", number, "LIBRARY")
	p.DownloadLocation = "https://go.dev/dl/go" + number + ".src.tar.gz"
	p.LicenseDeclared = "BSD-3-Clause"
	p.ExternalRefs = append(p.ExternalRefs, externalRef{"SECURITY", "cpe23Type", "cpe:2.3:a:golang:go:" + number + ":*:*:*:*:*:*:*"})
	p.Comment = experiments
	return p
}

// library is a module as it was linked: where go.mod replaces it by another,
// that other. A folder that replaces it has no name of its own to be known by.
func library(m *debug.Module) spdxPackage {
	comment := ""
	if r := m.Replace; r != nil && r.Version != "" {
		comment = fmt.Sprintf("in place of %s %s, ", m.Path, m.Version)
		m = r
	} else if r != nil {
		p := newPackage(m.Path, m.Version, "LIBRARY")
		p.Comment = "replaced by the folder " + r.Path
		return p
	}
	p := newPackage(m.Path, m.Version, "LIBRARY")
	p.DownloadLocation = "https://proxy.golang.org/" + escapeCase(m.Path) + "/@v/" + escapeCase(m.Version) + ".zip"
	p.Comment = comment + "go.sum " + m.Sum
	return p
}

func newPackage(name, version, purpose string) spdxPackage {
	return spdxPackage{
		Name:             name,
		VersionInfo:      version,
		DownloadLocation: noAssertion,
		LicenseConcluded: noAssertion,
		LicenseDeclared:  noAssertion,
		CopyrightText:    noAssertion,
		Purpose:          purpose,
		ExternalRefs:     []externalRef{{"PACKAGE-MANAGER", "purl", purl(name, version)}},
	}
}

// purl is the package URL of a module. Only "+" of what a Go version may hold
// must be written in percent form.
func purl(path, version string) string {
	return "pkg:golang/" + strings.ToLower(path) + "@" + strings.ReplaceAll(version, "+", "%2B")
}

// escapeCase writes upper case as "!" and lower case, as the module proxy's
// addresses do (https://go.dev/ref/mod#goproxy-protocol).
func escapeCase(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsUpper(r) {
			b.WriteByte('!')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// idPunctuation is what an SPDX identifier may hold besides letters and digits.
var idPunctuation = []rune{'.', '-'}

// freeID is an SPDX identifier made of name that is not in taken, and takes it.
func freeID(taken map[string]bool, name string) string {
	id := "SPDXRef-" + strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) || slices.Contains(idPunctuation, r) {
			return r
		}
		return '-'
	}, name)
	free := id
	for n := 2; taken[free]; n++ {
		free = fmt.Sprintf("%s-%d", id, n)
	}
	taken[free] = true
	return free
}
