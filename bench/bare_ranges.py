"""The fastest that TCP allows: a blob in equal ranges, one connection each, all requested at once.

It knows the blob beforehand, asks for no manifest, and neither verifies nor stores anything.
Usage: bare_ranges.py HOST:PORT PATH SIZE CONNECTIONS
"""

import http.client
import sys
import threading

BUFFER_BYTES = 1 << 20


def receive(address: str, path: str, first: int, last: int) -> None:
    connection = http.client.HTTPConnection(address)
    connection.request("GET", path, headers={"Range": f"bytes={first}-{last}"})
    response = connection.getresponse()
    received = 0
    while data := response.read(BUFFER_BYTES):
        received += len(data)
    if response.status != 206 or received != last - first + 1:
        sys.exit(f"{response.status}: {received} bytes of {first}-{last}")


def main() -> None:
    address, path, size, connections = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    starts = [size * number // connections for number in range(connections + 1)]
    threads = [threading.Thread(target=receive, args=(address, path, first, end - 1))
               for first, end in zip(starts, starts[1:])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
