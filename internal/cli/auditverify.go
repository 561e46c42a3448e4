package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatehouse-io/gatehouse/audit/bucket"
	"github.com/gatehouse-io/gatehouse/audit/bucket/drivers"
	"github.com/gatehouse-io/gatehouse/audit/chain"
)

// verifying is what of a chain is asked.
type verifying struct {
	store, cluster string
	// keys are files of public keys; none stands for those beside the segments.
	keys []string
	head string
}

// verified is what was found of one chain. A store has one, a bucket one for each
// replica that writes to it.
type verified struct {
	Cluster string `json:"cluster,omitempty"`
	Replica string `json:"replica,omitempty"`
	chain.Report
}

func newAuditVerify() *cobra.Command {
	var v verifying
	var output string
	cmd := &cobra.Command{
		Use:   "verify --store DIR|URL",
		Short: "Verify that no segment of a store was changed, removed or reordered",
		Long: `Verify the chains of a store's segments, or of a bucket's: each segment is signed with the
installation's key, together with its hash and that of the one before. The first segment
that was changed, removed, reordered or added is named, and the exit code is 1.

Whoever can write the store can also replace the public key beside it, and put back
an older state. Keep the public key and the head elsewhere, and name them with --key
and --head: then neither goes unnoticed. Events that are not in a segment yet, those of the
last minutes, are not part of the chain.
` + exitCodesHelp,
		Example: `  gatehouse audit verify --store /var/lib/gatehouse/audit
  gatehouse audit verify --store audit/ --key chain.key.pub --head yesterday.json
  gatehouse audit verify --store s3://acme-audit/prod`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) > 0 || v.store == "":
				return &hintError{problem: "which store is meant?", hint: "gatehouse audit verify --store DIR"}
			case v.head != "" && strings.Contains(v.store, "://"):
				return errors.New("--head is of one chain, and a bucket has several")
			}
			return checkOutput(output, "table", "json")
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			done := progress(cmd.ErrOrStderr(), "verifying")
			all, err := v.run(cmd.Context())
			done()
			if err != nil {
				return coded(exitUnreadable, err)
			}
			if output == "json" {
				err = printObject(cmd.OutOrStdout(), "json", map[string]any{"chains": all})
			} else {
				err = printVerified(cmd.OutOrStdout(), all)
			}
			if err != nil {
				return err
			}
			if len(v.keys) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "note: the public key is the one beside the segments; who can write them can replace it: --key names one that was kept elsewhere")
			}
			for _, one := range all {
				if one.Fault != nil {
					return errDenied
				}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&v.store, "store", "", "the store: its folder, or the URL of a bucket: s3://, gs://, azblob:// or file://")
	f.StringVar(&v.cluster, "cluster", "", "of a bucket, only the segments of this cluster")
	f.StringArrayVar(&v.keys, "key", nil, "the installation's public key, in PEM; may be repeated for a bucket (default: the one beside the segments)")
	f.StringVar(&v.head, "head", "", "a head of the chain that was kept elsewhere: the store must still have it")
	f.StringVarP(&output, "output", "o", "table", "table or json")
	return cmd
}

func (v *verifying) run(ctx context.Context) ([]verified, error) {
	var keys []chain.PublicKey
	for _, file := range v.keys {
		key, err := chain.ReadPublicKey(file)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if strings.Contains(v.store, "://") {
		return v.bucket(ctx, keys)
	}
	segments := filepath.Join(v.store, "segments")
	if info, err := os.Stat(segments); err != nil || !info.IsDir() {
		return nil, &hintError{problem: v.store + " is no store: it has no folder segments", hint: "gatehouse audit verify --store DIR"}
	}
	if len(keys) == 0 {
		key, err := chain.ReadPublicKey(filepath.Join(v.store, "chain.key"+chain.PublicSuffix))
		if err != nil {
			return nil, &hintError{problem: err.Error(), hint: "name the installation's public key with --key FILE"}
		}
		keys = append(keys, key)
	}
	if len(keys) > 1 {
		return nil, errors.New("a store has one key")
	}
	options := chain.VerifyOptions{Key: &keys[0]}
	if v.head != "" {
		data, err := os.ReadFile(v.head)
		if err == nil {
			options.ExpectHead, err = chain.ParseHead(data)
		}
		if err != nil {
			return nil, fmt.Errorf("read head of chain %s: %w", v.head, err)
		}
	}
	report, err := chain.Verify(ctx, chain.Dir{FS: os.DirFS(segments)}, options)
	return []verified{{Report: report}}, err
}

// bucket verifies the chain of every replica.
func (v *verifying) bucket(ctx context.Context, keys []chain.PublicKey) (all []verified, err error) {
	b, err := drivers.Open(ctx, v.store)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	places, err := bucket.Replicas(ctx, b, v.cluster)
	if err != nil {
		return nil, err
	}
	if len(places) == 0 {
		return nil, errors.New("nobody has published segments to the bucket")
	}
	for _, p := range places {
		report, err := bucket.Verify(ctx, b, p, bucket.VerifyOptions{Keys: keys})
		if err != nil {
			return nil, err
		}
		all = append(all, verified{Cluster: p.Cluster, Replica: p.Replica, Report: report})
	}
	return all, nil
}

func printVerified(w io.Writer, all []verified) error {
	p := &printed{w: w}
	for _, r := range all {
		name := ""
		if r.Replica != "" {
			name = r.Cluster + "/" + r.Replica + ": "
		}
		switch {
		case r.Fault != nil:
			p.line("", name+r.Fault.String())
			p.line("", fmt.Sprintf("%d segments before it are right", r.Segments))
		case r.Segments == 0:
			p.line("", name+"there are no segments yet")
		default:
			p.line("", fmt.Sprintf("%s%d segments with %d events, from %s to %s, are as they were signed with the key %s", name, r.Segments, r.Rows, clockTime(r.First), clockTime(r.Last), r.Key))
		}
	}
	return coded(exitInternal, p.err)
}
