// Go's net/http as its documentation shows it, and a WebSocket echo with gorilla/websocket.
//
//	server ADDRESS ROOT
package main

import (
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/gorilla/websocket"
)

// body answers with the same bytes each time. The type is given, so that net/http does not guess
// it from the bytes, and the length, so that it does not have to find it out.
func body(bytes []byte) http.HandlerFunc {
	length := strconv.Itoa(len(bytes))
	return func(answer http.ResponseWriter, _ *http.Request) {
		header := answer.Header()
		header.Set("Content-Type", "text/plain")
		header.Set("Content-Length", length)
		answer.Write(bytes)
	}
}

func file(root, name string) http.HandlerFunc {
	bytes, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		log.Fatal(err)
	}
	return body(bytes)
}

var upgrader = websocket.Upgrader{
	ReadBufferSize:  8192,
	WriteBufferSize: 8192,
	CheckOrigin:     func(*http.Request) bool { return true },
}

func echo(answer http.ResponseWriter, request *http.Request) {
	connection, err := upgrader.Upgrade(answer, request, nil)
	if err != nil {
		return
	}
	defer connection.Close()
	for {
		kind, message, err := connection.ReadMessage()
		if err != nil {
			return
		}
		if connection.WriteMessage(kind, message) != nil {
			return
		}
	}
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: server ADDRESS ROOT")
	}
	root := os.Args[2]
	routes := http.NewServeMux()
	routes.HandleFunc("/", body([]byte("Hello, world!")))
	routes.HandleFunc("/empty", body(nil))
	routes.HandleFunc("/1k.bin", file(root, "1k.bin"))
	routes.HandleFunc("/64k.bin", file(root, "64k.bin"))
	routes.HandleFunc("/echo", echo)
	log.Fatal(http.ListenAndServe(os.Args[1], routes))
}
