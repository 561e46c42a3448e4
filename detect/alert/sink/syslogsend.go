package sink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect/alert"
)

// syslog is a sink: a receiver of RFC 5424.
type syslog struct {
	settings v1alpha1.SyslogSink
	client   *client
	host     string
}

func (s *syslog) Traits() alert.Traits {
	return alert.Traits{Type: "syslog", Name: s.settings.Network + "://" + s.settings.Address, Batch: 100, Least: s.settings.MinSeverity}
}

// Send makes a connection for all of them, closes its own half, and waits until the
// receiver has read to the end and closes the other: syslog has no word for that it has
// something, and what was only written to a connection may be lost.
func (s *syslog) Send(ctx context.Context, alerts []alert.Alert) error {
	conn, err := s.dial(ctx)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", s.settings.Address, err)
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return fmt.Errorf("send to %s: %w", s.settings.Address, err)
		}
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := s.write(conn, alerts); err != nil {
		return fmt.Errorf("send to %s: %w", s.settings.Address, err)
	}
	return nil
}

func (s *syslog) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	if s.settings.Network != v1alpha1.SyslogTLS {
		return d.DialContext(ctx, s.settings.Network, s.settings.Address)
	}
	host, _, err := net.SplitHostPort(s.settings.Address)
	if err != nil {
		return nil, err
	}
	config, err := s.client.tls(host)
	if err != nil {
		return nil, err
	}
	return (&tls.Dialer{NetDialer: &d, Config: config}).DialContext(ctx, "tcp", s.settings.Address)
}

func (s *syslog) write(conn net.Conn, alerts []alert.Alert) error {
	if s.settings.Network == v1alpha1.SyslogUDP {
		for i := range alerts {
			if _, err := conn.Write(format(&alerts[i], s.host, largestDatagram)); err != nil {
				return err
			}
		}
		return nil
	}
	var frames []byte
	for i := range alerts {
		text := format(&alerts[i], s.host, largestFrame)
		frames = append(fmt.Appendf(frames, "%d ", len(text)), text...)
	}
	if _, err := conn.Write(frames); err != nil {
		return err
	}
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.New("the connection cannot be closed by half")
	}
	if err := half.CloseWrite(); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, io.LimitReader(conn, 1<<20))
	if err != nil {
		return fmt.Errorf("wait until it has been read: %w", err)
	}
	return nil
}
