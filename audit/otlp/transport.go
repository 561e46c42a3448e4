package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Transport sends one request. It returns how many records were not taken, or a
// RetryError where the request may be sent again.
type Transport interface {
	Export(ctx context.Context, request *collector.ExportLogsServiceRequest) (rejected int64, err error)
}

// RetryError says that a request may be sent again, not before After where it is set.
type RetryError struct {
	After time.Duration
	err   error
}

func (e *RetryError) Error() string { return e.err.Error() }
func (e *RetryError) Unwrap() error { return e.err }

// OverGRPC sends to a collector of OTLP/gRPC. headers are sent with each request.
func OverGRPC(conn grpc.ClientConnInterface, headers map[string]string) Transport {
	return &overGRPC{collector.NewLogsServiceClient(conn), metadata.New(headers)}
}

type overGRPC struct {
	client  collector.LogsServiceClient
	headers metadata.MD
}

func (t *overGRPC) Export(ctx context.Context, request *collector.ExportLogsServiceRequest) (int64, error) {
	response, err := t.client.Export(metadata.NewOutgoingContext(ctx, t.headers), request)
	if err == nil {
		return response.GetPartialSuccess().GetRejectedLogRecords(), nil
	}
	s := status.Convert(err)
	var after time.Duration
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			after = info.GetRetryDelay().AsDuration()
		}
	}
	failed := fmt.Errorf("export audit events: gRPC status %s", s.Code()) // its text may quote
	switch s.Code() {
	case codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss:
		return 0, &RetryError{after, failed}
	case codes.ResourceExhausted:
		if after > 0 { // else it will not get better
			return 0, &RetryError{after, failed}
		}
	}
	return 0, failed
}

// OverHTTP sends to a collector of OTLP/HTTP, such as https://collector:4318/v1/logs.
func OverHTTP(client *http.Client, url string, headers map[string]string) Transport {
	return &overHTTP{client, url, headers}
}

type overHTTP struct {
	client  *http.Client
	url     string
	headers map[string]string
}

// longestAnswer is how much of an answer is read.
const longestAnswer = 1 << 20

func (t *overHTTP) Export(ctx context.Context, request *collector.ExportLogsServiceRequest) (int64, error) {
	data, err := proto.Marshal(request)
	if err != nil {
		return 0, fmt.Errorf("export audit events: %w", err)
	}
	var body bytes.Buffer
	zip := gzip.NewWriter(&body)
	if _, err := zip.Write(data); err != nil {
		return 0, err
	}
	if err := zip.Close(); err != nil {
		return 0, err
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, &body)
	if err != nil {
		return 0, fmt.Errorf("export audit events: %w", err)
	}
	for key, value := range t.headers {
		post.Header.Set(key, value)
	}
	post.Header.Set("Content-Type", "application/x-protobuf")
	post.Header.Set("Content-Encoding", "gzip")
	answer, err := t.client.Do(post)
	if err != nil {
		return 0, &RetryError{err: errors.New("export audit events: the collector cannot be reached")}
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(io.LimitReader(answer.Body, longestAnswer))
	failed := fmt.Errorf("export audit events: HTTP %d", answer.StatusCode)
	switch answer.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		var response collector.ExportLogsServiceResponse
		if err != nil || proto.Unmarshal(said, &response) != nil {
			return 0, nil // it was taken; what else it says is not needed
		}
		return response.GetPartialSuccess().GetRejectedLogRecords(), nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
		return 0, &RetryError{time.Duration(max(seconds, 0)) * time.Second, failed}
	}
	return 0, failed
}
