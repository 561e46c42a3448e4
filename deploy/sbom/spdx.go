package main

import (
	"bytes"
	"encoding/json"
)

// noAssertion is SPDX's word for "not looked into".
const noAssertion = "NOASSERTION"

// documentID is the identifier SPDX gives to every document within itself.
const documentID = "SPDXRef-DOCUMENT"

// document is an SPDX 2.3 document, with those fields that are used here, in
// the order they are written.
type document struct {
	SPDXVersion       string         `json:"spdxVersion"`
	DataLicense       string         `json:"dataLicense"`
	SPDXID            string         `json:"SPDXID"`
	Name              string         `json:"name"`
	DocumentNamespace string         `json:"documentNamespace"`
	CreationInfo      creationInfo   `json:"creationInfo"`
	Packages          []spdxPackage  `json:"packages"`
	Relationships     []relationship `json:"relationships"`
}

type creationInfo struct {
	Created  string   `json:"created"` // UTC, YYYY-MM-DDThh:mm:ssZ
	Creators []string `json:"creators"`
}

// spdxPackage is the binary, a module or the standard library.
type spdxPackage struct {
	SPDXID           string        `json:"SPDXID"` // unique in the document
	Name             string        `json:"name"`
	VersionInfo      string        `json:"versionInfo"`
	PackageFileName  string        `json:"packageFileName,omitempty"` // the file that Checksums are of
	Checksums        []checksum    `json:"checksums,omitempty"`
	DownloadLocation string        `json:"downloadLocation"`
	FilesAnalyzed    bool          `json:"filesAnalyzed"` // always false: packages are listed, not their files
	LicenseConcluded string        `json:"licenseConcluded"`
	LicenseDeclared  string        `json:"licenseDeclared"`
	CopyrightText    string        `json:"copyrightText"`
	Purpose          string        `json:"primaryPackagePurpose"`
	ExternalRefs     []externalRef `json:"externalRefs"`
	Comment          string        `json:"comment,omitempty"`
}

type checksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type externalRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type relationship struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

// encode writes the document as indented JSON with a final newline.
func (d *document) encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(d)
	return b.Bytes(), err
}
