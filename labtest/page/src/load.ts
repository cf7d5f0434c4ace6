// The log inside the page: deflated, in base64.

/** Undoes what the harness did to the log. Throws if it is damaged. */
export async function unpack(packed: string): Promise<string> {
  const binary = atob(packed.trim());
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).text();
}
