// One WebSocket connection to a gateway: the opening handshake with subprotocol ringway.v1.proto, binary messages
// both ways, pings answered, the close code kept. It knows nothing of what the messages say.
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import NIOWebSocket

struct WebSocket: Sendable {
    /// Why a connection ended. 1006, as RFC 6455 section 7.1.5 has it, when no close frame came.
    struct Closure: Sendable, Equatable {
        var code: Int
        var reason: String

        static let abnormal = Self(code: 1006, reason: "the connection was lost")
    }

    private static let subprotocol = "ringway.v1.proto"
    private static let messageBytesMax = 1 << 20
    private static let fragmentsMax = 64

    private let channel: NIOAsyncChannel<WebSocketFrame, WebSocketFrame>

    // MARK: Opening

    /// Throws RingwayError UNAVAILABLE when there is no gateway to be reached there.
    static func open(
        _ text: String, trusting authorities: TrustedAuthorities? = nil, timeout: Duration
    ) async throws -> WebSocket {
        guard let url = URL(string: text), let host = url.host, let secure = url.isSecureWebSocket else {
            throw RingwayError(code: "INVALID_ARGUMENT", message: "\(text) is not a WebSocket URL")
        }
        let port = url.port ?? (secure ? 443 : 80)
        let tls = secure ? try NIOSSLContext(configuration: authorities?.tls ?? .makeClientConfiguration()) : nil
        let unreachable = RingwayError(code: RingwayError.unavailable, message: "cannot reach the gateway at \(text)")
        do {
            let upgrade = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .connectTimeout(TimeAmount(timeout))
                .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                .connect(host: host, port: port) { channel in
                    channel.eventLoop.makeCompletedFuture {
                        if let tls {
                            try channel.pipeline.syncOperations.addHandler(
                                NIOSSLClientHandler(context: tls, serverHostname: host.isIPAddress ? nil : host))
                        }
                        return try configureUpgrade(on: channel, url: url, authority: "\(host):\(port)")
                    }
                }
            guard let socket = try await upgrade.get() else { throw unreachable }
            return socket
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            guard error.isAboutTrust else { throw unreachable }
            throw RingwayError(code: unreachable.code, message: "\(unreachable.message): its certificate is not trusted")
        }
    }

    private static func configureUpgrade(
        on channel: any Channel, url: URL, authority: String
    ) throws -> EventLoopFuture<WebSocket?> {
        let upgrader = NIOTypedWebSocketClientUpgrader<WebSocket?>(maxFrameSize: messageBytesMax) { channel, head in
            channel.eventLoop.makeCompletedFuture {
                guard head.headers.first(name: "Sec-WebSocket-Protocol") == subprotocol else {
                    channel.close(promise: nil)
                    return nil
                }
                try channel.pipeline.syncOperations.addHandler(
                    NIOWebSocketFrameAggregator(
                        minNonFinalFragmentSize: 0, maxAccumulatedFrameCount: fragmentsMax,
                        maxAccumulatedFrameSize: messageBytesMax))
                return WebSocket(channel: try NIOAsyncChannel(wrappingChannelSynchronously: channel))
            }
        }
        var uri = url.path.isEmpty ? "/" : url.path
        if let query = url.query { uri += "?" + query }
        let head = HTTPRequestHead(
            version: .http1_1, method: .GET, uri: uri,
            headers: ["Host": authority, "Sec-WebSocket-Protocol": subprotocol])
        var configuration = NIOUpgradableHTTPClientPipelineConfiguration(
            upgradeConfiguration: NIOTypedHTTPClientUpgradeConfiguration(
                upgradeRequestHead: head, upgraders: [upgrader],
                notUpgradingCompletionHandler: { channel in
                    channel.close(promise: nil)
                    return channel.eventLoop.makeSucceededFuture(nil)
                }))
        configuration.leftOverBytesStrategy = .forwardBytes
        return try channel.pipeline.syncOperations.configureUpgradableHTTPClientPipeline(configuration: configuration)
    }

    // MARK: Messages

    /// Queues a message. What is queued is bounded by the sender, who waits for answers.
    func write(_ message: [UInt8]) {
        write(.binary, ByteBuffer(bytes: message))
    }

    /// Says goodbye; the connection ends when receive's task is cancelled or the peer has answered.
    func writeClose(code: Int) {
        var data = ByteBuffer()
        data.write(webSocketErrorCode: WebSocketErrorCode(codeNumber: code))
        write(.connectionClose, data)
    }

    private func write(_ opcode: WebSocketOpcode, _ data: ByteBuffer) {
        let frame = WebSocketFrame(fin: true, opcode: opcode, maskKey: .random(), data: data)
        channel.channel.writeAndFlush(frame, promise: nil)
    }

    /// Hands each message to body, one after the other, until the connection ends or the task is cancelled. Must be
    /// called once for a socket that was opened: it is what closes it.
    func receive(_ body: @Sendable (ByteBuffer) async -> Void) async -> Closure {
        var closure = Closure.abnormal
        do {
            try await channel.executeThenClose { inbound, _ in
                for try await frame in inbound {
                    switch frame.opcode {
                    case .binary:
                        await body(frame.unmaskedData)
                    case .ping:
                        write(.pong, frame.unmaskedData)
                    case .connectionClose:
                        closure = Self.closure(in: frame.unmaskedData)
                        write(.connectionClose, frame.unmaskedData)
                        return
                    default:
                        break
                    }
                }
            }
        } catch {
            // However it broke, what matters is that it ended, and whether a close frame came before.
        }
        return closure
    }

    private static func closure(in data: ByteBuffer) -> Closure {
        var data = data
        guard let code = data.readInteger(as: UInt16.self) else {
            return Closure(code: 1005, reason: "no reason given")
        }
        return Closure(code: Int(code), reason: String(buffer: data))
    }
}

extension URL {
    /// True for wss, false for ws, nil for anything else.
    var isSecureWebSocket: Bool? {
        switch scheme?.lowercased() {
        case "ws": false
        case "wss": true
        default: nil
        }
    }
}

extension String {
    fileprivate var isIPAddress: Bool {
        (try? SocketAddress(ipAddress: self, port: 0)) != nil
    }
}

extension Error {
    /// Nobody whom we trust vouches for the peer, or not under the name by which we called it.
    fileprivate var isAboutTrust: Bool {
        if self is NIOSSLExtraError { return true }
        guard case .handshakeFailed(let cause)? = self as? NIOSSLError else { return false }
        return "\(cause)".contains("CERTIFICATE_VERIFY_FAILED")
    }
}
