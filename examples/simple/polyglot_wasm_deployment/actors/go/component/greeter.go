// A greeter in Go: counts whom it has greeted, talks to other actors, and passes notes through the tuple space.
package main

import (
	"fmt"
	"strconv"

	"go_actor/component/plexspaces"
)

type greeter struct{ greeted int }

func init() { plexspaces.Run(new(greeter)) }

func main() {} // never called: the node calls the actor

func (g *greeter) Init(state []byte) (err error) {
	if len(state) > 0 {
		g.greeted, err = strconv.Atoi(string(state))
	}
	return err
}

func (g *greeter) SnapshotState() ([]byte, error) {
	return []byte(strconv.Itoa(g.greeted)), nil
}

func (g *greeter) HandleRequest(_, msgType string, payload []byte) ([]byte, error) {
	reply, err := g.answer(msgType, string(payload))
	return []byte(reply), err
}

func (g *greeter) answer(msgType, text string) (string, error) {
	switch msgType {
	case "call", "greet":
		return g.greet(text), nil
	case "count":
		return strconv.Itoa(g.greeted), nil
	case "tell":
		_, err := plexspaces.Tell(text, "greet", []byte("Go"))
		return "told " + text, err
	case "ask":
		answer, err := plexspaces.Ask(text, "greet", []byte("Go"), 5000)
		return string(answer), err
	case "leave":
		return "left a note", plexspaces.Write("note", "Go", text)
	case "take":
		return take()
	case "crash":
		panic(text)
	}
	return "", fmt.Errorf("unknown message type: %s", msgType)
}

func (g *greeter) greet(name string) string {
	g.greeted++
	return fmt.Sprintf("Hello, %s, from Go! You are number %d.", name, g.greeted)
}

// take takes anybody's note.
func take() (string, error) {
	tuple, err := plexspaces.Take("note", plexspaces.Any, plexspaces.Any)
	if err != nil || tuple == nil {
		return "no note", err
	}
	return fmt.Sprintf("%s left: %s", tuple[1], tuple[2]), nil
}
