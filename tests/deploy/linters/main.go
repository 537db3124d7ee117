// Checks a container definition as BuildKit does, and a compose file as Docker Compose does.
//
//	checker containerfile FILE
//	checker compose FILE          (variables from the environment)
//
// What is wrong is on standard output; the exit code is 1 if anything is.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/opencontainers/go-digest"
)

func main() {
	check := map[string]func(string) error{"containerfile": containerfile, "compose": compose}[os.Args[1]]
	if err := check(os.Args[2]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func containerfile(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	source := llb.NewSourceMap(nil, path, "Dockerfile", text)
	source.Definition = &llb.Definition{}
	options := dockerfile2llb.ConvertOpt{SourceMap: source, MetaResolver: anyImage{}}
	found, err := dockerfile2llb.DockerfileLint(context.Background(), text, options)
	if err != nil {
		return err
	}
	if found.Error != nil {
		return fmt.Errorf("%s", found.Error.Message)
	}
	var out bytes.Buffer
	for _, warning := range found.Warnings {
		fmt.Fprintf(&out, "%s: %s\n", warning.RuleName, warning.Detail)
	}
	if out.Len() > 0 {
		return fmt.Errorf("%s", out.String())
	}
	return nil
}

// anyImage stands for every base image, so that no registry is asked.
type anyImage struct{}

func (anyImage) ResolveImageConfig(
	_ context.Context, ref string, _ sourceresolver.Opt,
) (string, digest.Digest, []byte, error) {
	config := []byte(`{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers"}}`)
	return ref, digest.FromBytes(config), config, nil
}

func compose(path string) error {
	options, err := cli.NewProjectOptions([]string{path}, cli.WithOsEnv, cli.WithConsistency(true))
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	text, err := project.MarshalJSON()
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(text)
	return err
}
