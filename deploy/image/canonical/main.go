// Command canonical takes out of an image what tells apart two builds of the same:
// when, where and in which container it was made. What is left is bit for bit what
// its content, its settings and one time make it.
//
//	canonical NAME SECONDS < archive of `docker save` > archive for `docker load`
package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "canonical:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("%d arguments: give the image's name and the seconds since 1970 that it shall bear", len(args))
	}
	tag, err := name.NewTag(args[0])
	if err != nil {
		return err
	}
	seconds, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return err
	}
	// An archive is read more than once: first what is in it, then the layers.
	built, err := tarball.Image(func() (io.ReadCloser, error) { return os.Open("/dev/stdin") }, nil)
	if err != nil {
		return err
	}
	image, err := mutate.Canonical(built)
	if err != nil {
		return err
	}
	if image, err = mutate.Time(image, time.Unix(seconds, 0).UTC()); err != nil {
		return err
	}
	return tarball.Write(tag, image, os.Stdout)
}
