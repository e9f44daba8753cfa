// Whether the ports are free, asked before anything is started, so that one line says which is not. A port may stay taken
// for a moment after its owner was killed, because the kernel ends an io_uring in the background: it is asked again.

#if canImport(Glibc)
import Glibc
#endif

enum Ports {
    static func requireFree(_ settings: ServeSettings) throws {
        let ports = [
            (settings.wsPort, "ws-port"), (settings.httpPort, "http-port"), (settings.grpcPort, "grpc-port"),
            (settings.opsPort, "ops-port"),
        ]
        let deadline = ContinuousClock.now + patience
        for (port, name) in ports {
            while isTaken(settings.address, port) {
                guard ContinuousClock.now < deadline else { throw complaint(port, name) }
                usleep(20_000)
            }
        }
    }

    private static let patience: Duration = .seconds(2)

    static func complaint(_ port: Int, _ name: String) -> Complaint {
        Complaint(line: "port \(port) is in use; stop who listens there or choose another with --\(name)")
    }

    private static func isTaken(_ address: String, _ port: Int) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var yes: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_port = in_port_t(port).bigEndian
        guard inet_pton(AF_INET, address, &name.sin_addr) == 1 else { return false }
        let bound = withUnsafePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        return bound != 0 && errno == EADDRINUSE
    }
}

enum OutputStream {
    /// Standard output is a pipe or a file as often as a terminal.
    static func flush() {
        fflush(nil)
    }
}
