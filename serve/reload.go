package serve

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/klog/v2"

	"github.com/gatehouse-io/gatehouse/internal/filewatch"
	"github.com/gatehouse-io/gatehouse/telemetry/meter"
)

// loadAndWatch gives load the file's bytes, and again whenever they change,
// until ctx ends. The first error is returned, with mend as its hint; a later
// one leaves what is in force as it is and is logged; reloads counts either.
func loadAndWatch(ctx context.Context, reloads *meter.Reloads, what, path, mend string, load func([]byte) error) error {
	watcher, data, err := filewatch.Open(path)
	if err != nil {
		return &StartError{Problem: fmt.Sprintf("%s %s cannot be read: %v", what, path, underlying(err)), Mend: mend}
	}
	if err := load(data); err != nil {
		if _, ok := errors.AsType[*StartError](err); ok {
			return err
		}
		return &StartError{Problem: fmt.Sprintf("%s %s is not usable: %v", what, path, err), Mend: mend}
	}
	reloads.Watch(what)
	go watcher.Run(ctx, func(data []byte, err error) {
		if err == nil {
			err = load(data)
		}
		reloads.Count(what, err)
		if err != nil {
			klog.Errorf("%s %s is not read again, the one before stays in force: %v", what, path, err)
			return
		}
		klog.Infof("%s %s is read again and in force", what, path)
	})
	return nil
}
