// Accepts the connections of the gRPC door: counts them, refuses an address' strangers above its share, and puts a
// ConnectionGuard before each that stays.
import Connections
import GRPCNIOTransportHTTP2
import HummingbirdCore
import NIOCore
import NIOPosix
import ServiceKit

public struct GuardedListener: HTTP2ServerTransport.ListenerFactory {
    public let eventLoopGroup: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton

    private let configuration: GRPCAPIConfiguration
    private let ledger: ConnectionLedger<String>
    private let onListening: @Sendable () -> Void

    init(
        configuration: GRPCAPIConfiguration, ledger: ConnectionLedger<String>, onListening: @escaping @Sendable () -> Void
    ) {
        self.configuration = configuration
        self.ledger = ledger
        self.onListening = onListening
    }

    public func makeListeningChannel(
        listenerConfigurator: HTTP2ServerTransport.ListenerConfigurator,
        connectionConfigurator: HTTP2ServerTransport.ConnectionConfigurator
    ) async throws -> NIOAsyncChannel<HTTP2ServerTransport.ConnectionConfigurator.ConnectionChannel, Never> {
        let (configuration, ledger) = (configuration, ledger)
        let listener = try await ServerBootstrap(group: eventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.backlog, value: 256)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let handlers = channel.pipeline.syncOperations
                    try handlers.addHandler(AvailableConnectionsChannelHandler(maxConnections: configuration.connectionsMax))
                    try handlers.addHandler(StrangersGate(proxies: configuration.proxies, ledger: ledger))
                }.flatMap {
                    listenerConfigurator.configure(channel: channel)
                }
            }
            .bind(host: configuration.host, port: configuration.port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    let handlers = channel.pipeline.syncOperations
                    try handlers.addHandler(ProgressGuard(timeout: configuration.progressTimeout))
                    try handlers.addHandler(
                        ConnectionGuard(configuration, name: channel.remoteAddress?.asRemotePeer ?? ""))
                }.flatMap {
                    connectionConfigurator.configure(channel: channel, tls: .none)
                }
            }
        onListening()
        return listener
    }
}

/// Closes a connection that its address may not have, before it is served.
private final class StrangersGate: ChannelInboundHandler {
    typealias InboundIn = Channel
    typealias InboundOut = Channel

    private let proxies: TrustedProxies
    private let ledger: ConnectionLedger<String>

    init(proxies: TrustedProxies, ledger: ConnectionLedger<String>) {
        self.proxies = proxies
        self.ledger = ledger
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let connection = unwrapInboundIn(data)
        // Gone before it was accepted: nobody to count.
        guard let address = connection.remoteAddress, let name = address.asRemotePeer else {
            connection.close(promise: nil)
            return
        }
        let peer = Peer(address: address.ipAddress ?? "")
        let network = proxies.trusts(peer.address) ? nil : peer.network
        guard ledger.admit(name, network: network, close: { connection.close(promise: nil) }) else {
            connection.close(promise: nil)
            return
        }
        connection.closeFuture.whenComplete { [ledger] _ in ledger.end(name) }
        context.fireChannelRead(data)
    }
}

extension NIOCore.SocketAddress {
    /// As gRPC names the other end of a connection to a handler: "ipv4:10.0.0.1:4711", "ipv6:[::1]:4711".
    var asRemotePeer: String? {
        switch self {
        case .v4(let address): port.map { "ipv4:\(address.host):\($0)" }
        case .v6(let address): port.map { "ipv6:[\(address.host)]:\($0)" }
        case .unixDomainSocket: nil
        }
    }
}
