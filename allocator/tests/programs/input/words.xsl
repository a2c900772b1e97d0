<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
  <xsl:output method="text"/>
  <xsl:key name="last" match="l" use="substring(., string-length(.) - 30, 1)"/>
  <xsl:template match="/">
    <xsl:for-each select="w/l"><xsl:sort select="substring(., 2)"/><xsl:value-of select="concat(., '&#10;')"/></xsl:for-each>
    <xsl:value-of select="count(key('last', '7'))"/>
  </xsl:template>
</xsl:stylesheet>
