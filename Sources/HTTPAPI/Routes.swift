// The table of routes, a file a service: a method, a path, how the path and the query fill the request message, and the
// call. A body, where one is given, is the request message as JSON; what the path says overrides it.
import Contract
import GRPCCore

func makeRoutes<Transport: ClientTransport>(_ client: GRPCClient<Transport>) -> [Route] {
    authRoutes(.init(wrapping: client)) + profileRoutes(.init(wrapping: client))
        + avatarRoutes(.init(wrapping: client)) + settingsRoutes(.init(wrapping: client))
        + friendshipRoutes(.init(wrapping: client)) + inboxRoutes(.init(wrapping: client))
        + gatewayRoutes(.init(wrapping: client))
}

/// What `makeRoutes` serves, for the API's description. Nothing is called.
public func summarizeRoutes<Transport: ClientTransport>(_ client: GRPCClient<Transport>) -> [RouteSummary] {
    makeRoutes(client).compactMap(\.summary)
}
