// The gRPC door: HTTP/2 over TCP, and what its connections and calls may hold. It knows no service.
//
// What bounds a connection: connections above connectionsMax wait in the backlog; of those that have shown no valid token
// an address has strangersPerAddress, and all addresses three quarters of the places (ConnectionLedger); a client that does
// not begin to speak HTTP/2 is closed after openingTimeout; one that is not heard although it was asked for a sign of life,
// or does not take its answers for progressTimeout, is closed; one without a call for idleTimeout, or older than ageMax, is
// told to go away, and closed if it does not. What bounds a call: RequestGuard. What bounds the rate of frames is HTTP/2's
// own, in the library.
import Connections
import GRPCCore
import GRPCNIOTransportHTTP2
import NIOCore
import ServiceKit

public struct GRPCAPIConfiguration: Sendable {
    public var host: String
    /// 0: any free port.
    public var port: Int
    public var connectionsMax: Int
    /// 0: any number.
    public var strangersPerAddress: Int
    /// Calls under way on a connection; a client is told, and waits with those above.
    public var streamsMax: Int
    public var openingTimeout: Duration
    public var idleTimeout: Duration
    public var ageMax: Duration
    /// After this long without a byte a client is asked whether it is there.
    public var keepalive: Duration
    public var progressTimeout: Duration
    /// Whose connections stand for many clients, and are no strangers.
    public var proxies: TrustedProxies

    public init(
        host: String = "127.0.0.1", port: Int = 7402, connectionsMax: Int = 4096, strangersPerAddress: Int = 256,
        streamsMax: Int = 100, openingTimeout: Duration = .seconds(10), idleTimeout: Duration = .seconds(300),
        ageMax: Duration = .seconds(3600), keepalive: Duration = .seconds(60), progressTimeout: Duration = .seconds(30),
        proxies: TrustedProxies = .none
    ) {
        self.host = host
        self.port = port
        self.connectionsMax = connectionsMax
        self.strangersPerAddress = strangersPerAddress
        self.streamsMax = streamsMax
        self.openingTimeout = openingTimeout
        self.idleTimeout = idleTimeout
        self.ageMax = ageMax
        self.keepalive = keepalive
        self.progressTimeout = progressTimeout
        self.proxies = proxies
    }

    /// How long the answer to a PING of ours may take.
    var signOfLifeTimeout: Duration { min(.seconds(10), keepalive) }
}

/// The network's door for gRPC.
public struct GRPCAPI: Sendable {
    public typealias Transport = HTTP2ServerTransport.Custom<GuardedListener>

    /// For a GRPCServer.
    public let transport: Transport
    private let ledger: ConnectionLedger<String>

    /// - Parameters:
    ///   - longRequests: methods by their full names, with the most bytes of a request; every other's has at most 64 KiB.
    ///   - longCalls: methods whose calls last as long as they like.
    ///   - onListening: called once the port is open.
    public init(
        _ configuration: GRPCAPIConfiguration, longRequests: [String: Int] = [:], longCalls: Set<String> = [],
        onListening: @escaping @Sendable () -> Void = {}
    ) {
        let ledger = ConnectionLedger<String>(
            strangersPerAddress: configuration.strangersPerAddress, connectionsMax: configuration.connectionsMax)
        let bounds = RequestGuard.Bounds(longRequests: longRequests, longCalls: longCalls)
        var transport = Transport.Config.defaults
        transport.connection.keepalive = .init(
            time: configuration.keepalive, timeout: configuration.signOfLifeTimeout,
            clientBehavior: .init(minPingIntervalWithoutCalls: .seconds(10), allowWithoutCalls: true))
        transport.http2.maxConcurrentStreams = configuration.streamsMax
        transport.rpc.maxRequestPayloadSize = bounds.bytesMax
        transport.channelDebuggingCallbacks.onAcceptHTTP2Stream = { stream in
            stream.eventLoop.makeCompletedFuture {
                guard let connection = stream.parent else { throw ChannelError.ioOnClosedChannel }
                let guardian = try connection.pipeline.syncOperations.handler(type: ConnectionGuard.self)
                try stream.pipeline.syncOperations.addHandler(
                    RequestGuard(bounds: bounds, ledger: ledger, connection: guardian), position: .first)
            }
        }
        self.ledger = ledger
        self.transport = Transport(
            listenerFactory: GuardedListener(configuration: configuration, ledger: ledger, onListening: onListening),
            config: transport)
    }

    /// Who called over this connection has shown a valid token: its address' share of strangers is not for it any more.
    public func trust(remotePeer: String) {
        ledger.trust(remotePeer)
    }

    /// In Prometheus' text format (version 0.0.4).
    public func metrics() -> String {
        ledger.metrics(of: "grpc")
    }
}
