// Stands before every method of every gRPC server: applies the access policy, sets the caller and the peer.
import GRPCCore

public struct AuthenticationInterceptor: ServerInterceptor {
    /// Where the requests of this server come from.
    public enum Door: Sendable {
        /// A socket that clients can reach.
        case network
        /// This process: the HTTP API, the gateway, other services.
        case inProcess
    }

    private let door: Door
    private let proxies: TrustedProxies
    private let serviceSecret: ServiceSecret?
    private let verify: @Sendable (_ accessToken: String) async throws -> Caller
    private let onProof: @Sendable (_ remotePeer: String) -> Void

    /// - Parameters:
    ///   - proxies: who may say at the network's door from which address a call comes.
    ///   - serviceSecret: what other services prove themselves with at the network's door; without one it serves none.
    ///   - verify: throws UNAUTHENTICATED for a token that is not good, with one text for every reason.
    ///   - onProof: told the connection, by gRPC's name for its other end, of each call whose token was good.
    public init(
        door: Door, proxies: TrustedProxies = .none, serviceSecret: ServiceSecret? = nil,
        verify: @escaping @Sendable (_ accessToken: String) async throws -> Caller,
        onProof: @escaping @Sendable (_ remotePeer: String) -> Void = { _ in }
    ) {
        self.door = door
        self.proxies = proxies
        self.serviceSecret = serviceSecret
        self.verify = verify
        self.onProof = onProof
    }

    public func intercept<Input: Sendable, Output: Sendable>(
        request: StreamingServerRequest<Input>,
        context: ServerContext,
        next: @Sendable (StreamingServerRequest<Input>, ServerContext) async throws -> StreamingServerResponse<Output>
    ) async throws -> StreamingServerResponse<Output> {
        try await admit(request.metadata, to: context.descriptor, from: context.remotePeer) {
            try await next(request, context)
        }
    }

    /// Serves a call to whom the policy lets, with the caller and the peer set.
    func admit<Output: Sendable>(
        _ metadata: Metadata, to method: MethodDescriptor, from remotePeer: @autoclosure () -> String,
        serve: () async throws -> Output
    ) async throws -> Output {
        try await Peer.$current.withValue(peer(metadata, remotePeer())) {
            switch (AccessPolicy.access(to: method), door) {
            case (.anyone, _), (.service, .inProcess):
                return try await serve()
            case (.user, _):
                let caller = try await caller(metadata)
                onProof(remotePeer())
                return try await Caller.$current.withValue(caller) { try await serve() }
            case (.service, .network) where isService(metadata, calling: method):
                onProof(remotePeer())
                return try await serve()
            case (.service, .network), (nil, _):
                throw RPCError(code: .unimplemented, message: "no such method")
            }
        }
    }

    private func caller(_ metadata: Metadata) async throws -> Caller {
        if door == .inProcess, let caller = Caller(vouchedForIn: metadata) { return caller }
        guard let token = Self.bearerToken(in: metadata) else {
            throw RPCError(code: .unauthenticated, message: "a valid access token is required")
        }
        return try await verify(token)
    }

    private func peer(_ metadata: Metadata, _ remotePeer: String) -> Peer {
        switch door {
        case .network:
            Peer(
                address: proxies.client(
                    of: Peer(remotePeer: remotePeer).address, metadata[stringValues: proxies.header.rawValue]))
        case .inProcess: Peer(address: Self.only(Peer.metadataKey, in: metadata) ?? "")
        }
    }

    private func isService(_ metadata: Metadata, calling method: MethodDescriptor) -> Bool {
        guard let serviceSecret, let token = Self.only(ServiceCredentialsInterceptor.metadataKey, in: metadata) else {
            return false
        }
        return serviceSecret.isValid(token, for: method.fullyQualifiedMethod)
    }

    /// The one value of a key; nil when there is none or another.
    private static func only(_ key: String, in metadata: Metadata) -> String? {
        var values = metadata[stringValues: key].makeIterator()
        guard let value = values.next(), values.next() == nil else { return nil }
        return value
    }

    private static func bearerToken(in metadata: Metadata) -> String? {
        only("authorization", in: metadata).flatMap { bearerToken(inHeader: $0) }
    }

    /// The token of an Authorization header's value (RFC 6750 section 2.1), or nil.
    public static func bearerToken(inHeader value: some StringProtocol) -> String? {
        let scheme = value.prefix(7)
        guard scheme.lowercased() == "bearer " else { return nil }
        let token = value.dropFirst(7).drop(while: { $0 == " " })
        return token.isEmpty ? nil : String(token)
    }
}
