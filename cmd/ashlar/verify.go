package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"ashlar/internal/builder/pipeline"
	"ashlar/internal/ui"
)

func (a *app) verifyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "verify DIR", Short: "Build twice under different conditions and compare every byte", Args: exactArgs(1, "a definition's directory"),
		RunE: func(c *cobra.Command, args []string) error {
			e, err := a.env()
			if err != nil {
				return err
			}
			if err := e.Fetch(c.Context(), args[0]); err != nil {
				return err
			}
			epoch, err := e.Epoch(c.Context(), args[0])
			if err != nil {
				return err
			}
			v, err := e.Verify(c.Context(), args[0], func(ctx context.Context, cond pipeline.Condition, dir, out string) error {
				return a.buildVaried(ctx, cond, epoch, dir, out)
			})
			if err != nil {
				return err
			}
			err = a.answer(v, func(w io.Writer) error { return printVerification(w, v) })
			if !v.Equal {
				err = errors.Join(err, errDifferent)
			}
			return err
		},
	}
}

func printVerification(w io.Writer, v *pipeline.Verification) error {
	rows := [][]string{}
	for _, f := range v.Files {
		rows = append(rows, []string{f.Name, ui.Bytes(f.Size), f.Digest.String()})
	}
	if err := ui.Table(w, []string{"file", "size", "sha256"}, rows); err != nil {
		return err
	}
	for _, line := range v.Differences {
		fmt.Fprintln(w, line)
	}
	verdict := "equal: both builds gave the same bytes"
	if !v.Equal {
		verdict = "different: see the lines above"
	}
	_, err := fmt.Fprintln(w, verdict)
	return err
}

// The environment variables that make a process of this program the builder of
// one of verify's two builds.
const (
	variedMark     = "ASHLAR_VARIED"
	variedHostname = "ASHLAR_VARIED_HOSTNAME"
	variedUmask    = "ASHLAR_VARIED_UMASK"
	variedCPUs     = "ASHLAR_VARIED_CPUS"
)

func isVaried() bool { return os.Getenv(variedMark) != "" }

// buildVaried runs the build in a process of its own, in a UTS namespace where
// the kernel gives one.
func (a *app) buildVaried(ctx context.Context, c pipeline.Condition, epoch int64, dir, out string) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, exe, "build", dir, "-o", out, "--no-cache", "--offline", "--quiet")
	cmd.Env = append(os.Environ(),
		variedMark+"=1", variedHostname+"="+c.Hostname, variedUmask+"="+strconv.Itoa(c.Umask), variedCPUs+"="+strconv.Itoa(c.Processors),
		"TZ="+c.Timezone, "LANG="+c.Locale, "LC_ALL="+c.Locale, "SOURCE_DATE_EPOCH="+strconv.FormatInt(epoch, 10))
	cmd.Stderr = a.err
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if canName() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUTS}
	} else {
		cmd.Env = append(cmd.Env, variedHostname+"=") // the host's own
	}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return &childError{err, exit.ExitCode()}
	}
	return err
}

// canName reports whether the kernel lets this process have a host name of its
// own without a user namespace, which sandboxes need for themselves.
func canName() bool {
	probe := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its namespace
		probe <- unix.Unshare(unix.CLONE_NEWUTS)
	}()
	return <-probe == nil
}

// variedMain takes the condition on and goes on as the program.
func variedMain() int {
	fail := func(err error) int {
		return report(fmt.Errorf("vary the build's conditions: %w", err), os.Stderr, false)
	}
	umask, err := strconv.Atoi(os.Getenv(variedUmask))
	if err != nil {
		return fail(err)
	}
	// Processors are bound thread by thread: this one becomes the new program's.
	runtime.LockOSThread()
	unix.Umask(umask)
	if name := os.Getenv(variedHostname); name != "" {
		if err := unix.Sethostname([]byte(name)); err != nil {
			return fail(err)
		}
	}
	if cpus, err := strconv.Atoi(os.Getenv(variedCPUs)); err != nil {
		return fail(err)
	} else if cpus > 0 {
		if err := keepProcessors(cpus); err != nil {
			return fail(err)
		}
	}
	exe, err := os.Executable()
	if err != nil {
		return fail(err)
	}
	for _, name := range []string{variedMark, variedHostname, variedUmask, variedCPUs} {
		if err := os.Unsetenv(name); err != nil {
			return fail(err)
		}
	}
	// Started anew, so that the run time sees the processors that are left.
	return fail(unix.Exec(exe, os.Args, os.Environ()))
}

// keepProcessors binds the process to the first n of its processors.
func keepProcessors(n int) error {
	var have, want unix.CPUSet
	if err := unix.SchedGetaffinity(0, &have); err != nil {
		return err
	}
	for cpu := 0; cpu < 1024 && want.Count() < n; cpu++ {
		if have.IsSet(cpu) {
			want.Set(cpu)
		}
	}
	return unix.SchedSetaffinity(0, &want)
}
