package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// errStall ends an attempt.
var errStall = errors.New("nothing came any more")

// attempt asks once for what lacks, and gives how much there is then. It
// reads no more than what is wanted and one byte.
func (g getter) attempt(ctx context.Context, from string, part *os.File, have, size int64) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(g.opt.Stall, func() { cancel(errStall) })
	defer stall.Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return have, final{err}
	}
	if have > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	resp, err := g.client.Do(request)
	if err != nil {
		return have, because(ctx, err)
	}
	defer resp.Body.Close()
	start, err := place(resp, have, size)
	if err != nil {
		return have, err
	}
	n, err := copyTo(part, start, resp.Body, size-start, func() { stall.Reset(g.opt.Stall) })
	switch {
	case err != nil:
		return start + n, because(ctx, err)
	case start+n > size:
		return size, final{fmt.Errorf("the server gives more than %d bytes", size)}
	case start+n < size:
		return start + n, io.ErrUnexpectedEOF
	}
	return size, nil
}

// because names the reason for which a context ended an attempt.
func because(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errStall) {
		return errStall
	}
	return err
}

// place says where in the file an answer's body belongs.
func place(resp *http.Response, have, size int64) (int64, error) {
	switch code := resp.StatusCode; {
	case code == http.StatusOK && resp.ContentLength >= 0 && resp.ContentLength != size:
		return 0, final{fmt.Errorf("the server's file has %d bytes, this initramfs is for one of %d: the server has another build", resp.ContentLength, size)}
	case code == http.StatusOK:
		return 0, nil // it knows no ranges: from the beginning
	case code == http.StatusPartialContent:
		if !strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", have)) {
			return have, final{fmt.Errorf("the server gives the range %q, asked for from %d", resp.Header.Get("Content-Range"), have)}
		}
		return have, nil
	case code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= 500:
		return have, fmt.Errorf("the server answers %s", resp.Status)
	}
	return have, final{fmt.Errorf("the server answers %s", resp.Status)}
}

// copyTo writes a body at a place and tells of every piece; it reads at most
// one byte more than the limit.
func copyTo(part *os.File, at int64, body io.Reader, limit int64, alive func()) (n int64, err error) {
	buffer := make([]byte, 64<<10)
	for n <= limit {
		piece := buffer[:min(int64(len(buffer)), limit+1-n)]
		got, err := body.Read(piece)
		if got > 0 {
			alive()
			if _, err := part.WriteAt(piece[:got], at+n); err != nil {
				return n, final{err}
			}
			n += int64(got)
		}
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
