package manifest

import (
	"io"
	"time"

	"github.com/gatehouse-io/gatehouse/cluster"
)

// Options shape how manifests are read. The zero value is ready.
type Options struct {
	// Stdin is what the path "-" stands for. Default: it is empty.
	Stdin io.Reader
	// MaxObjectBytes is the size of the largest object. Default: 8 MiB.
	MaxObjectBytes int
	// MaxFileBytes is the size of the largest file. Default: 1 GiB.
	MaxFileBytes int64
	// MaxProblems is how many problems are reported. Default: 100.
	MaxProblems int
	// Workers is how many goroutines parse files, and so how many may be in the
	// callback at once. Default: as many as there are processors.
	Workers int

	Helm      HelmOptions
	Kustomize KustomizeOptions
}

// HelmOptions shape how charts are rendered.
type HelmOptions struct {
	// Release is the name of the release. Default: "release".
	Release string
	// Namespace is that of the release. Default: "default".
	Namespace string
	// Values are values files, the later ones over the earlier ones.
	Values []string
	// Set, SetString and SetJSON are single values over those of files, in the form
	// that helm's flags --set, --set-string and --set-json have.
	Set, SetString, SetJSON []string
	// KubeVersion is the version of Kubernetes that charts see: "1.37" or "v1.37.2".
	// Default: that of the libraries.
	KubeVersion string
	// APIVersions are further ones that charts see as available: "monitoring.coreos.com/v1".
	APIVersions []string
	// Upgrade renders as for an upgrade; else as for an installation.
	Upgrade bool
	// WithoutCRDs leaves out what is in a chart's folder crds.
	WithoutCRDs bool
	// AnyFile allows symbolic links that lead out of the chart.
	AnyFile bool
	// Timeout is how long one chart may render. Default: 30 seconds.
	Timeout time.Duration
}

// KustomizeOptions shape how kustomizations are built.
type KustomizeOptions struct {
	// AnyFile allows a kustomization to load files from outside of its folder.
	AnyFile bool
}

func (o *Options) setDefaults() {
	if o.MaxObjectBytes <= 0 {
		o.MaxObjectBytes = 8 << 20
	}
	if o.MaxFileBytes <= 0 {
		o.MaxFileBytes = 1 << 30
	}
	if o.MaxProblems <= 0 {
		o.MaxProblems = 100
	}
	if o.Helm.Release == "" {
		o.Helm.Release = "release"
	}
	if o.Helm.Namespace == "" {
		o.Helm.Namespace = "default"
	}
	if o.Helm.Timeout <= 0 {
		o.Helm.Timeout = 30 * time.Second
	}
}

func (o *Options) files() cluster.FileOptions {
	return cluster.FileOptions{MaxObjectBytes: o.MaxObjectBytes, MaxFileBytes: o.MaxFileBytes, MaxProblems: o.MaxProblems, Workers: o.Workers}
}
