package pki

import (
	"os"
	"slices"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// editAdmin changes the admin kubeconfig the way its owner might.
func editAdmin(f *fixture, edit func(*clientcmdapi.Config)) {
	f.t.Helper()
	config, err := clientcmd.LoadFromFile(f.opts.AdminKubeconfig)
	if err != nil {
		f.t.Fatal(err)
	}
	edit(config)
	if err := clientcmd.WriteToFile(*config, f.opts.AdminKubeconfig); err != nil {
		f.t.Fatal(err)
	}
}

// Each thing that is no longer right brings the whole entry back.
func TestAdminMended(t *testing.T) {
	for _, tt := range []struct {
		name string
		mar  func(f *fixture)
	}{
		{"removed", func(f *fixture) { f.remove(f.opts.AdminKubeconfig) }},
		{"emptied", func(f *fixture) { f.write(f.opts.AdminKubeconfig, "") }},
		{"no kubeconfig", func(f *fixture) { f.write(f.opts.AdminKubeconfig, "a: [") }},
		{"wide", func(f *fixture) {
			if err := os.Chmod(f.opts.AdminKubeconfig, 0o644); err != nil {
				f.t.Fatal(err)
			}
		}},
		{"server moved", func(f *fixture) { f.opts.AdminServer = "https://127.0.0.1:7443" }},
		{"other user", func(f *fixture) { f.opts.Admin = IssueOptions{User: "root"} }},
		{"shorter life", func(f *fixture) { f.opts.Admin.TTL = time.Hour }},
		{"server edited", func(f *fixture) {
			editAdmin(f, func(c *clientcmdapi.Config) { c.Clusters["gatehouse"].Server = "https://elsewhere" })
		}},
		{"verification off", func(f *fixture) {
			editAdmin(f, func(c *clientcmdapi.Config) {
				c.Clusters["gatehouse"].InsecureSkipTLSVerify = true
				c.Clusters["gatehouse"].CertificateAuthorityData = nil
			})
		}},
		{"key lost", func(f *fixture) {
			editAdmin(f, func(c *clientcmdapi.Config) { c.AuthInfos["gatehouse"].ClientKeyData = nil })
		}},
		{"context lost", func(f *fixture) {
			editAdmin(f, func(c *clientcmdapi.Config) { delete(c.Contexts, "gatehouse") })
		}},
		{"another PKI's", func(f *fixture) {
			other := newFixture(f.t)
			other.ensure()
			data, _ := os.ReadFile(other.opts.AdminKubeconfig)
			f.write(f.opts.AdminKubeconfig, string(data))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			f.ensure()
			tt.mar(f)
			if made := f.ensure().Made; !slices.Equal(made, []string{"admin-kubeconfig"}) {
				t.Errorf("made %q", made)
			}
			config, err := clientcmd.LoadFromFile(f.opts.AdminKubeconfig)
			if err != nil {
				t.Fatal(err)
			}
			entry, ok := entryOf(config)
			if !ok || entry.server != f.opts.AdminServer || config.CurrentContext != "gatehouse" {
				t.Errorf("kubeconfig is %+v", config)
			}
			if info, _ := os.Stat(f.opts.AdminKubeconfig); info.Mode() != fileMode {
				t.Errorf("mode is %s", info.Mode())
			}
			if made := f.ensure().Made; len(made) > 0 {
				t.Errorf("then made %q", made)
			}
		})
	}
}

func TestAdminSetsAsideWhatIsNone(t *testing.T) {
	f := newFixture(t)
	f.ensure()
	f.write(f.opts.AdminKubeconfig, "half: [")
	f.ensure()
	if got := f.files()["admin.kubeconfig.unreadable"]; got != "half: [" {
		t.Errorf("set aside is %q", got)
	}
}

// A renewal keeps what the owner of the file has put beside ours.
func TestAdminRenewalKeepsOtherContexts(t *testing.T) {
	f := newFixture(t)
	p := f.ensure()
	editAdmin(f, func(c *clientcmdapi.Config) {
		c.Clusters["work"] = &clientcmdapi.Cluster{Server: "https://work"}
		c.AuthInfos["me"] = &clientcmdapi.AuthInfo{Token: "token"}
		c.Contexts["work"] = &clientcmdapi.Context{Cluster: "work", AuthInfo: "me"}
		c.Contexts["gatehouse"].Namespace = "shop"
		c.CurrentContext = "work"
	})
	before, _ := clientcmd.LoadFromFile(f.opts.AdminKubeconfig)
	dueAt := birth.Add(AdminLifetime * 2 / 3)
	if renewed, next, err := p.Renew(dueAt.Add(-time.Second)); err != nil || len(renewed) > 0 || !next.Equal(dueAt) {
		t.Errorf("renewed %q, next %s, %v", renewed, next, err)
	}
	if renewed, _, err := p.Renew(dueAt); err != nil || !slices.Equal(renewed, []string{"admin-kubeconfig"}) {
		t.Errorf("renewed %q, %v", renewed, err)
	}
	config, err := clientcmd.LoadFromFile(f.opts.AdminKubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if config.CurrentContext != "work" || config.AuthInfos["me"].Token != "token" ||
		config.Clusters["work"].Server != "https://work" || config.Contexts["work"].Cluster != "work" ||
		config.Contexts["gatehouse"].Namespace != "shop" {
		t.Errorf("kubeconfig is %+v", config)
	}
	if string(config.AuthInfos["gatehouse"].ClientKeyData) == string(before.AuthInfos["gatehouse"].ClientKeyData) {
		t.Error("the key was not renewed")
	}
}
