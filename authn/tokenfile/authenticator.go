package tokenfile

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/token/tokenfile"
	"k8s.io/klog/v2"

	"github.com/gatehouse-io/gatehouse/authn"
	"github.com/gatehouse-io/gatehouse/internal/filewatch"
)

// Options shape an Authenticator. The zero value logs through klog.
type Options struct {
	// OnError hears why a changed file was not taken, once for each reason. The
	// error is an *authn.FileError. Default: an error log line.
	OnError func(error)

	// OnWarning hears what is odd about a file that was taken: readable by others
	// than its owner, an empty or repeated token, no tokens at all.
	// Default: a warning log line.
	OnWarning func(string)

	// OnReload hears how many tokens are in force after a changed file was taken.
	// Default: an info log line.
	OnReload func(tokens int)
}

// Authenticator knows the tokens of one file. It is safe for concurrent use.
type Authenticator struct {
	path    string
	opts    Options
	watcher *filewatch.Watcher

	// current are the tokens in force, keyed by SHA-256. Swapped whole by load;
	// never nil after New.
	current atomic.Pointer[tokenfile.TokenAuthenticator]

	// lastError is why the newest file is not in force, or nil.
	lastError atomic.Pointer[authn.FileError]

	// wide is the mode that was last warned about, 0 for none. Written by New,
	// then by Run alone.
	wide fs.FileMode
}

var _ authenticator.Token = (*Authenticator)(nil)

// New reads the file. A file that is missing or bad is an *authn.FileError.
func New(path string, opts Options) (*Authenticator, error) {
	if path == "" {
		return nil, errors.New("read token file: no path is given")
	}
	if opts.OnError == nil {
		opts.OnError = func(err error) {
			klog.ErrorS(err, "The changed token file is not taken, the tokens before stay in force")
		}
	}
	if opts.OnWarning == nil {
		opts.OnWarning = func(text string) { klog.Warning(text) }
	}
	if opts.OnReload == nil {
		opts.OnReload = func(n int) { klog.InfoS("The token file has changed and is in force", "file", path, "tokens", n) }
	}
	a := &Authenticator{path: path, opts: opts}
	watcher, data, err := filewatch.Open(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	a.watcher = watcher
	if _, err := a.load(data); err != nil {
		return nil, err
	}
	return a, nil
}

// Run keeps up with the file until ctx ends.
func (a *Authenticator) Run(ctx context.Context) {
	a.watcher.Run(ctx, func(data []byte, err error) {
		n := 0
		if err != nil {
			err = unreadable(a.path, err)
		} else {
			n, err = a.load(data)
		}
		if err != nil {
			var fileErr *authn.FileError
			if errors.As(err, &fileErr) {
				a.lastError.Store(fileErr)
			}
			a.opts.OnError(err)
			return
		}
		a.lastError.Store(nil)
		a.opts.OnReload(n)
	})
}

// AuthenticateToken implements authenticator.Token.
func (a *Authenticator) AuthenticateToken(ctx context.Context, token string) (*authenticator.Response, bool, error) {
	sum := sha256.Sum256([]byte(token))
	return a.current.Load().AuthenticateToken(ctx, string(sum[:]))
}

// LastError is why the newest file is not in force, or nil where it is.
func (a *Authenticator) LastError() error {
	if err := a.lastError.Load(); err != nil {
		return err
	}
	return nil
}

// load puts the tokens of data in force and says how many there are.
func (a *Authenticator) load(data []byte) (int, error) {
	t, err := parse(a.path, data)
	if err != nil {
		return 0, err
	}
	a.current.Store(tokenfile.New(t.users))
	a.warnOfMode()
	for _, w := range t.warnings {
		a.opts.OnWarning(w)
	}
	return len(t.users), nil
}

func (a *Authenticator) warnOfMode() {
	info, err := os.Stat(a.path)
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		a.wide = 0
		return
	}
	if mode := info.Mode().Perm(); mode != a.wide {
		a.wide = mode
		a.opts.OnWarning(fmt.Sprintf("%s: others than its owner may use this file of secrets (mode %#o): chmod 600 %s", a.path, mode, a.path))
	}
}

func unreadable(path string, err error) error {
	e := &authn.FileError{Path: path, Problem: fmt.Sprintf("read token file: %v", err), Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Mend = "create the file, or take authentication.tokenFile out of the settings"
	case errors.Is(err, fs.ErrPermission):
		e.Mend = "make the file readable by the user the server runs as"
	default:
		e.Mend = "authentication.tokenFile must name a plain file that the server can read"
	}
	return e
}
