package sink

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect/alert"
)

// rfc5424 is the grammar of RFC 5424, section 6, for one element of structured data.
var rfc5424 = regexp.MustCompile(`(?s)^<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}Z) ([!-~]{1,255}) ([!-~]{1,48}) (-|[!-~]{1,128}) ([!-~]{1,32}) \[([!-~]{1,32}@\d+)((?: [!-~]{1,32}="(?:[^"\\\]]|\\.)*")*)\] \x{feff}(.*)$`)

func TestFormat(t *testing.T) {
	for _, a := range []alert.Alert{told("jane"), told(hostile), resolved(told(hostile)), told(strings.Repeat(`"]\é`, 500)), {}} {
		for _, most := range []int{largestDatagram, largestFrame} {
			text := string(format(&a, "höst one", most))
			m := rfc5424.FindStringSubmatch(text)
			if m == nil || !utf8.ValidString(text) || len(text) > most {
				t.Errorf("%d bytes are no message: %q", len(text), text)
				continue
			}
			harmless(t, "message", text)
			if strings.Contains(text, "\n") {
				t.Errorf("it has two lines: %q", text)
			}
			if want := 13*8 + 3; a.Status == alert.Firing && m[1] != strconv.Itoa(want) {
				t.Errorf("priority %s", m[1])
			}
			if m[3] != "h_st_one" || m[4] != "gatehouse" {
				t.Errorf("host %q of %q", m[3], m[4])
			}
		}
	}
	a := told(`a"b]c\d`)
	text := string(format(&a, "h", largestFrame))
	for _, want := range []string{` user="user a\"b\]c\\d"`, ` count="3"`, ` fingerprint="00f1e2d3c4b5a697"`, ` cluster="prod"`, "Somebody reads all Secrets of a namespace: Read by a\"b]c\\d"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in %s", want, text)
		}
	}
}

func FuzzFormat(f *testing.F) {
	f.Add(hostile)
	f.Add(strings.Repeat("\\", 3000))
	f.Fuzz(func(t *testing.T, s string) {
		a := told(s)
		a.Cluster, a.RunbookURL, a.Finding.Rule = s, s, s
		for _, most := range []int{largestDatagram, largestFrame} {
			if text := format(&a, s, most); !rfc5424.Match(text) || len(text) > most {
				t.Errorf("%d bytes: %q", len(text), text)
			}
		}
	})
}

// frames reads messages with their length before them (RFC 6587, section 3.4.1).
func frames(r io.Reader) (all []string, err error) {
	in := bufio.NewReader(r)
	for {
		length, err := in.ReadString(' ')
		if err == io.EOF && length == "" {
			return all, nil
		}
		n, bad := strconv.Atoi(strings.TrimSpace(length))
		if err != nil || bad != nil {
			return all, fmt.Errorf("length %q: %v", length, err)
		}
		text := make([]byte, n)
		if _, err := io.ReadFull(in, text); err != nil {
			return all, err
		}
		all = append(all, string(text))
	}
}

func TestSyslogByConnection(t *testing.T) {
	secure := httptest.NewTLSServer(nil) // for its certificate
	defer secure.Close()
	ca := write(t, "ca", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})))
	for _, network := range []string{v1alpha1.SyslogTCP, v1alpha1.SyslogTLS} {
		t.Run(network, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			settings := v1alpha1.SyslogSink{Network: network, Address: listener.Addr().String()}
			accept := listener
			if network == v1alpha1.SyslogTLS {
				settings.CAFile = ca
				accept = tls.NewListener(listener, &tls.Config{Certificates: secure.TLS.Certificates})
			}
			type result struct {
				all []string
				err error
			}
			got := make(chan result, 1)
			hang := make(chan bool, 2)
			go func() {
				for {
					conn, err := accept.Accept()
					if err != nil {
						return
					}
					if <-hang { // it takes what comes, and never says that it has read it
						go func() { io.Copy(io.Discard, conn); time.Sleep(5 * time.Second); conn.Close() }()
						continue
					}
					all, err := frames(conn)
					conn.Close()
					got <- result{all, err}
				}
			}()
			s := made(t, v1alpha1.AlertOptions{Syslog: []v1alpha1.SyslogSink{settings}})
			hang <- false
			mustSend(t, s, told(hostile), resolved(told("b")))
			r := <-got
			if r.err != nil || len(r.all) != 2 || !rfc5424.MatchString(r.all[0]) || !strings.Contains(r.all[1], `status="resolved"`) {
				t.Errorf("%v: %q", r.err, r.all)
			}
			hang <- true
			ctx, cancel := contextOf(t, 300*time.Millisecond)
			defer cancel()
			if err := s.Send(ctx, []alert.Alert{told("c")}); err == nil {
				t.Error("a receiver that does not say it has read counts as one that has")
			}
			listener.Close()
			if err := send(t, s, told("d")); err == nil {
				t.Error("nobody listens, and it is sent")
			}
		})
	}
}

func TestSyslogByDatagram(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s := made(t, v1alpha1.AlertOptions{Syslog: []v1alpha1.SyslogSink{{Network: "udp", Address: conn.LocalAddr().String()}}})
	mustSend(t, s, told(strings.Repeat("long ", 1000)), told(hostile))
	buffer := make([]byte, 65536)
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	for range 2 {
		n, _, err := conn.ReadFrom(buffer)
		if err != nil || n > largestDatagram || !rfc5424.Match(buffer[:n]) {
			t.Errorf("%v: %d bytes %q", err, n, buffer[:n])
		}
	}
}

// TestRsyslogReads sends to the rsyslog of Debian, by TCP and UDP, and reads back what it
// made of the fields.
func TestRsyslogReads(t *testing.T) {
	rsyslogd, err := exec.LookPath("rsyslogd")
	if err != nil {
		t.Skip("no rsyslogd")
	}
	dir := t.TempDir()
	port := freePort(t)
	out := filepath.Join(dir, "out")
	config := write(t, "rsyslog.conf", fmt.Sprintf(`
module(load="imtcp")
module(load="imudp")
module(load="mmpstrucdata")
input(type="imtcp" port="%d" address="127.0.0.1")
input(type="imudp" port="%d" address="127.0.0.1")
action(type="mmpstrucdata")
template(name="t" type="string" string="%%syslogseverity-text%% %%syslogfacility%% %%app-name%% %%msgid%% user=%%$!rfc5424-sd!finding@32473!user%% count=%%$!rfc5424-sd!finding@32473!count%%\n")
action(type="omfile" file="%s" template="t")
`, port, port, out))
	program := exec.Command(rsyslogd, "-n", "-f", config, "-i", filepath.Join(dir, "pid"))
	var said bytes.Buffer
	program.Stderr = &said
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { program.Process.Kill(); program.Wait() }()
	var s alert.Sink
	eventually(t, 20*time.Second, func() bool {
		s = made(t, v1alpha1.AlertOptions{Syslog: []v1alpha1.SyslogSink{{Network: "tcp", Address: fmt.Sprint("127.0.0.1:", port)}}})
		return send(t, s, told(`a"b]c\d`)) == nil
	})
	mustSend(t, made(t, v1alpha1.AlertOptions{Syslog: []v1alpha1.SyslogSink{{Network: "udp", Address: fmt.Sprint("127.0.0.1:", port)}}}), told("by udp"))
	want := []string{`err 13 gatehouse finding user=user a"b]c\d count=3`, `err 13 gatehouse finding user=user by udp count=3`}
	var got string
	eventually(t, 10*time.Second, func() bool {
		data, _ := os.ReadFile(out)
		got = string(data)
		return strings.Contains(got, want[0]) && strings.Contains(got, want[1])
	}, func() { t.Logf("got %q; rsyslogd says %s", got, said.String()) })
}
