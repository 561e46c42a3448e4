package serve

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"

	"k8s.io/apiserver/pkg/util/filesystem"
	"k8s.io/klog/v2"
)

// reloadInterval is how often a watched file is looked at even where the
// kernel's change notices do not come (network filesystems, bind mounts).
const reloadInterval = 5 * time.Second

// reloadFile calls load with the file's bytes whenever they differ from what
// was read last, until ctx ends. A file that cannot be read, or that load
// refuses, leaves what is in force as it is and says so once per content.
func reloadFile(ctx context.Context, what, path string, last []byte, load func([]byte) error) {
	failed := ""
	complain := func(err error) {
		if text := err.Error(); text != failed {
			failed = text
			klog.Errorf("%s %s is not read again, the one before stays in force: %v", what, path, err)
		}
	}
	filesystem.WatchUntil(ctx, reloadInterval, path, func() {
		data, err := os.ReadFile(path)
		if err != nil {
			complain(underlying(err))
			return
		}
		if bytes.Equal(data, last) {
			return
		}
		last = data
		if err := load(data); err != nil {
			complain(err)
			return
		}
		failed = ""
		klog.Infof("%s %s is read again and in force", what, path)
	}, func(err error) { complain(fmt.Errorf("watch: %w", err)) })
}
