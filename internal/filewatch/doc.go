// Package filewatch answers: has this file changed, and to what?
//
//	w, data, err := filewatch.Open(path)
//	go w.Run(ctx, func(data []byte, err error) { ... })
//
// A change is seen within half a second, however it is made: written in place,
// renamed over, or by swapping a symbolic link anywhere on the path (as kubelet
// does for mounted Secrets). The kernel's notices (fsnotify) make it quick and
// a look every 200 ms makes it certain, since notices do not come from network
// filesystems and bind mounts, nor for a link that is swapped.
//
// Invariants:
//   - Run calls back only with bytes that differ from those it gave last, and
//     with an error only when its text differs from the last one.
//   - A file that is being written in place is given once it has stopped
//     changing (two equal reads 20 ms apart), or after 300 ms as it is.
//   - Only regular files are read: a pipe or a device would block for ever.
//
// It keeps no timers or clocks of its caller's: files change in real time.
package filewatch
