// The smallest WebSocket client that can be wrong on purpose: frames are built and read by hand over a blocking socket,
// so that client and core can't agree on a mistake. Every call gives up after five seconds.
//
// Thread: the test's own. The reactor has one for itself, so blocking here does not hold it up.
import Glibc

public struct PeerError: Error, CustomStringConvertible {
    public let description: String
}

public final class WebSocketPeer {
    public struct Frame: Equatable, Sendable {
        public let opcode: UInt8
        public let payload: [UInt8]

        public init(opcode: UInt8, payload: [UInt8]) {
            self.opcode = opcode
            self.payload = payload
        }

        public var text: String { String(decoding: payload, as: UTF8.self) }
        /// Of a close frame.
        public var closeCode: UInt16? {
            opcode == 8 && payload.count >= 2 ? UInt16(payload[0]) << 8 | UInt16(payload[1]) : nil
        }
    }

    private let socket: Int32

    /// Connects, and shakes hands unless told not to.
    public init(port: UInt16, headers: [String] = []) throws {
        socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var patience = timeval(tv_sec: 5, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard connected == 0 else { throw PeerError(description: "not connected: errno \(errno)") }
        try shakeHands(headers)
    }

    deinit {
        close(socket)
    }

    private func shakeHands(_ headers: [String]) throws {
        let lines =
            [
                "GET /ws HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13",
            ] + headers
        try write(Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8))
        var answer: [UInt8] = []
        while !answer.suffix(4).elementsEqual("\r\n\r\n".utf8) { answer += try read(1) }
        let text = String(decoding: answer, as: UTF8.self)
        // The answer to the key is the one that RFC 6455 section 1.3 works out.
        guard text.hasPrefix("HTTP/1.1 101"), text.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") else {
            throw PeerError(description: "handshake refused: \(text.prefix(40))")
        }
    }

    public func send(_ text: String) throws {
        try send(Array(text.utf8), opcode: 1)
    }

    public func send(_ payload: [UInt8], opcode: UInt8) throws {
        let mask: [UInt8] = [0x11, 0xa2, 0x33, 0xc4]
        var frame: [UInt8] = [0x80 | opcode]
        switch payload.count {
        case ..<126: frame.append(0x80 | UInt8(payload.count))
        case ..<65536: frame += [0x80 | 126, UInt8(payload.count >> 8), UInt8(payload.count & 0xff)]
        default: frame += [0x80 | 127] + (0..<8).map { UInt8(truncatingIfNeeded: payload.count >> (56 - 8 * $0)) }
        }
        frame += mask
        frame += payload.enumerated().map { $1 ^ mask[$0 % 4] }
        try write(frame)
    }

    /// The next frame; a server's are never masked, and this one never fragments.
    public func receive() throws -> Frame {
        let head = try read(2)
        guard head[0] & 0x80 != 0, head[1] & 0x80 == 0 else { throw PeerError(description: "frame \(head)") }
        var length = Int(head[1])
        if length >= 126 { length = try read(length == 126 ? 2 : 8).reduce(0) { $0 << 8 | Int($1) } }
        return Frame(opcode: head[0] & 0x0f, payload: try read(length))
    }

    /// Whether the connection has ended, once what is still on its way has been read.
    public func hasEnded() -> Bool {
        while (try? read(1)) != nil {}
        return errno != EAGAIN
    }

    private func write(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw PeerError(description: "not sent: errno \(errno)") }
            sent += count
        }
    }

    private func read(_ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            errno = 0
            let got = bytes.withUnsafeMutableBytes { recv(socket, $0.baseAddress! + filled, count - filled, 0) }
            guard got > 0 else { throw PeerError(description: got == 0 ? "ended" : "not received: errno \(errno)") }
            filled += got
        }
        return bytes
    }
}
