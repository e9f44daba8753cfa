// The HTTP door: the contract's messages as proto3 JSON under /v1, over the same handlers that gRPC serves. It knows
// no rule of any service; it turns a request into a message, the message into a call, and the answer into JSON.
//
// What bounds a request: a body of 64 KiB, received within requestTimeout (the connection is closed if it is not);
// an answer within requestTimeout. A connection from which no whole head, or no more of a body, comes for idleTimeout is
// closed, and so is one that does not take its answers for progressTimeout; connections above connectionsMax wait in the
// backlog; of those that have shown no valid token an address has strangersPerAddress, and all addresses three quarters of
// the places (ConnectionLedger).
import Connections
import Contract
import GRPCCore
import HummingbirdCore
import Logging
import NIOCore
import ServiceKit
import ServiceLifecycle

public struct HTTPAPIConfiguration: Sendable {
    public var host: String
    /// 0: any free port, told to onServerRunning.
    public var port: Int
    public var requestTimeout: Duration
    public var idleTimeout: Duration
    public var progressTimeout: Duration
    public var connectionsMax: Int
    /// 0: any number.
    public var strangersPerAddress: Int
    /// Who may say from which address a request comes.
    public var proxies: TrustedProxies

    public init(
        host: String = "127.0.0.1",
        port: Int = 7401,
        requestTimeout: Duration = .seconds(10),
        idleTimeout: Duration = .seconds(60),
        progressTimeout: Duration = .seconds(30),
        connectionsMax: Int = 4096,
        strangersPerAddress: Int = 512,
        proxies: TrustedProxies = .none
    ) {
        self.host = host
        self.port = port
        self.requestTimeout = requestTimeout
        self.idleTimeout = idleTimeout
        self.progressTimeout = progressTimeout
        self.connectionsMax = connectionsMax
        self.strangersPerAddress = strangersPerAddress
        self.proxies = proxies
    }
}

/// The connections to the HTTP API, each by its channel.
public typealias HTTPConnections = ConnectionLedger<ObjectIdentifier>

extension HTTPConnections {
    public convenience init(_ configuration: HTTPAPIConfiguration) {
        self.init(
            strangersPerAddress: configuration.strangersPerAddress, connectionsMax: configuration.connectionsMax)
    }
}

/// The HTTP API as a service. client reaches every service of the contract, through whichever transport; it must
/// be running. A graceful shutdown answers the requests that are under way.
/// - Parameter connections: for who wants to count them; its bound stands in the place of the configuration's.
public func makeHTTPAPI(
    clients: ServiceClients,
    configuration: HTTPAPIConfiguration,
    connections: HTTPConnections? = nil,
    logger: Logger,
    onServerRunning: @escaping @Sendable (_ port: Int) async -> Void = { _ in }
) -> some Service {
    let connections = connections ?? HTTPConnections(configuration)
    let api = APIResponder(
        routes: RouteTable(makeRoutes(clients)), requestTimeout: configuration.requestTimeout,
        proxies: configuration.proxies, connections: connections, logger: logger)
    return HTTPServer(
        configuration: ServerConfiguration(
            address: .hostname(configuration.host, port: configuration.port),
            availableConnectionsDelegate: .maximum(configuration.connectionsMax, logger: logger)),
        logger: logger,
        makeChannel: { responder in
            LoopChannel(
                HTTP1Channel(
                    responder: responder,
                    configuration: .init(
                        additionalChannelHandlers: [DecodedPart()], idleTimeout: .init(configuration.idleTimeout))),
                connections: connections, proxies: configuration.proxies, progressTimeout: configuration.progressTimeout)
        },
        onServerRunning: { await onServerRunning($0.localAddress?.port ?? configuration.port) },
        respond: api.respond)
}
