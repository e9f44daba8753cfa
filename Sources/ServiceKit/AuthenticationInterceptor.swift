// Stands before every method of every gRPC server: applies the access policy and sets the caller.
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
    private let verify: @Sendable (_ accessToken: String) async throws -> Caller

    /// verify throws UNAUTHENTICATED for a token that is not good, with one text for every reason.
    public init(door: Door, verify: @escaping @Sendable (_ accessToken: String) async throws -> Caller) {
        self.door = door
        self.verify = verify
    }

    public func intercept<Input: Sendable, Output: Sendable>(
        request: StreamingServerRequest<Input>,
        context: ServerContext,
        next: @Sendable (StreamingServerRequest<Input>, ServerContext) async throws -> StreamingServerResponse<Output>
    ) async throws -> StreamingServerResponse<Output> {
        switch (AccessPolicy.access(to: context.descriptor), door) {
        case (.anyone, _), (.service, .inProcess):
            return try await next(request, context)
        case (.user, .inProcess) where Caller(vouchedForIn: request.metadata) != nil:
            let caller = Caller(vouchedForIn: request.metadata)
            return try await Caller.$current.withValue(caller) { try await next(request, context) }
        case (.user, _):
            guard let token = Self.bearerToken(in: request.metadata) else {
                throw RPCError(code: .unauthenticated, message: "a valid access token is required")
            }
            let caller = try await verify(token)
            return try await Caller.$current.withValue(caller) { try await next(request, context) }
        case (.service, .network), (nil, _):
            throw RPCError(code: .unimplemented, message: "no such method")
        }
    }

    private static func bearerToken(in metadata: Metadata) -> String? {
        var values = metadata[stringValues: "authorization"].makeIterator()
        guard let value = values.next(), values.next() == nil else { return nil }
        return bearerToken(inHeader: value)
    }

    /// The token of an Authorization header's value (RFC 6750 section 2.1), or nil.
    public static func bearerToken(inHeader value: some StringProtocol) -> String? {
        let scheme = value.prefix(7)
        guard scheme.lowercased() == "bearer " else { return nil }
        let token = value.dropFirst(7).drop(while: { $0 == " " })
        return token.isEmpty ? nil : String(token)
    }
}
